// File systems as they are when they are new, one for each size that was asked for lately: disks are made by sharing the
// blocks of one.
import { constants } from 'node:fs'
import { copyFile, mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { systemClock } from '../../lib/clock.ts'
import { mustRun } from '../../lib/run-process.ts'
import { type Layout, templatesDir } from './layout.ts'

/** A large one takes some hundred megabytes; whoever asks for a size of their own each time must not fill the host. */
const MAX_TEMPLATES = 8

/** Makes a new file system of that size at `target`, where nothing is: in milliseconds, whatever the size. */
export async function copyTemplate(layout: Layout, sizeBytes: number, target: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const template = await ensureTemplate(layout, sizeBytes)
      return await copyFile(template, target, constants.COPYFILE_FICLONE_FORCE)
    } catch (cause) {
      // Others have made some of other sizes meanwhile, and it has gone.
      if (attempt === 3 || !isMissing(cause)) throw cause
    }
  }
}

/** Removes what was begun for a runner that was killed. */
export async function sweepTemplates(layout: Layout): Promise<void> {
  const templates = await readdir(templatesDir(layout)).catch(() => []) // No disk was ever made.
  for (const name of templates)
    if (!name.endsWith('.img')) await rm(join(templatesDir(layout), name), { force: true })
}

// The first environments of a runner come as a crowd, too: one formats for all of them.
const formatting = new Map<string, Promise<string>>()

function ensureTemplate(layout: Layout, sizeBytes: number): Promise<string> {
  const template = join(templatesDir(layout), `ext4-${sizeBytes}.img`)
  const running = formatting.get(template)
  if (running !== undefined) return running
  const made = formatTemplate(template, sizeBytes).finally(() => formatting.delete(template))
  formatting.set(template, made)
  return made
}

async function formatTemplate(template: string, sizeBytes: number): Promise<string> {
  if (await noteUse(template)) return template
  await mkdir(dirname(template), { recursive: true, mode: 0o700 })
  const draft = `${template}.${process.pid}`
  await rm(draft, { force: true })
  const handle = await open(draft, 'wx', 0o600)
  await handle.truncate(sizeBytes)
  await handle.close()
  // A journal, for the disk must survive power failures; no reserved blocks, for root inside is the user; inode tables
  // are left sparse (the file reads as zeros), else a 20 GiB disk would cost 300 MB before its first byte.
  // 4096 also for small disks, where mkfs would choose 1024, less than the loop device's sectors may be.
  const journal = sizeBytes < 2 ** 30 ? 'size=8' : 'size=64'
  const options = [
    '-b',
    '4096',
    '-m',
    '0',
    '-J',
    journal,
    '-E',
    'lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0',
  ]
  await mustRun(['mkfs.ext4', '-q', '-F', ...options, draft])
  await rename(draft, template)
  await removeOldest(dirname(template))
  return template
}

/** False: there is no such template. */
async function noteUse(template: string): Promise<boolean> {
  try {
    const now = systemClock.now() / 1000
    await utimes(template, now, now)
    return true
  } catch (cause) {
    if (isMissing(cause)) return false
    throw cause
  }
}

/** Leaves those that were used last. */
async function removeOldest(dir: string): Promise<void> {
  const describe = async (name: string) => {
    const path = join(dir, name)
    const found = await stat(path).catch(() => undefined) // Somebody has removed it.
    return { path, usedMs: found?.mtimeMs ?? 0 }
  }
  const names = (await readdir(dir)).filter(name => name.endsWith('.img'))
  const templates = (await Promise.all(names.map(describe))).toSorted((a, b) => b.usedMs - a.usedMs)
  for (const { path } of templates.slice(MAX_TEMPLATES)) await rm(path, { force: true })
}

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
}
