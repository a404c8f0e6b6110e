import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'

/** What tests need from the machine but do not find, as a reason to skip them; undefined when all is there. */
export function lacking(needs: {
  readonly root?: boolean
  readonly programs?: readonly string[]
}): string | undefined {
  const root = needs.root === true && process.geteuid?.() !== 0 ? ['root'] : []
  const missing = [...root, ...(needs.programs ?? []).filter(name => !isInstalled(name))]
  return missing.length === 0 ? undefined : `needs ${missing.join(', ')}`
}

/** A suite's title, with the reason when it is skipped: the summary at the end prints it. */
export function titled(title: string, reason: string | undefined): string {
  return reason === undefined ? title : `${title} (skipped: ${reason})`
}

function isInstalled(name: string): boolean {
  const folders = (process.env['PATH'] ?? '').split(':')
  return [...folders, '/usr/sbin', '/sbin', '/usr/lib/git-core'].some(folder =>
    isExecutable(join(folder, name)),
  )
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    // Not there, or not for us.
    return false
  }
}
