import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '../../lib/fault.ts'
import type { Cgroups } from './cgroups.ts'

/**
 * Holds up, or lets go, every process in a group and below it. With version 2 (also beside version 1) they can still be
 * killed meanwhile; with version 1 alone they end when they are let go. A group that is gone has nobody to hold.
 */
export async function setHeld(cgroups: Cgroups, path: string, held: boolean): Promise<void> {
  if (cgroups.unified !== undefined)
    return put(join(cgroups.unified, path, 'cgroup.freeze'), held ? '1' : '0')
  const root = cgroups.v1.find(each => each.endsWith('/freezer'))
  if (root !== undefined) await put(join(root, path, 'freezer.state'), held ? 'FROZEN' : 'THAWED')
}

/** The folder of the control group that `setHeld` writes to. */
export function freezerOf(cgroups: Cgroups, path: string): string {
  const root = cgroups.unified ?? cgroups.v1.find(each => each.endsWith('/freezer'))
  if (root !== undefined) return join(root, path)
  throw new Fault('unsupported', 'no-freezer', 'hold the processes of a sandbox: the host has no freezer', {
    hint: 'mount the control groups of version 2, or the freezer of version 1',
  })
}

/** Names of the groups in `path`. */
export async function groupsIn(cgroups: Cgroups, path: string): Promise<string[]> {
  const root = cgroups.unified ?? cgroups.v1.find(each => each.endsWith('/freezer'))
  if (root === undefined) return []
  const entries = await readdir(join(root, path), { withFileTypes: true }).catch(() => []) // None was made yet.
  return entries.filter(each => each.isDirectory()).map(({ name }) => name)
}

async function put(file: string, text: string): Promise<void> {
  await writeFile(file, text).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT' && cause.code !== 'ENODEV') throw cause
  })
}
