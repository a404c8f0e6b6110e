// Disks of the fake driver: folders, copied file by file. What a sandbox writes meanwhile may or may not be in a copy.
import { existsSync } from 'node:fs'
import { cp, mkdir, rename, rm, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { DiskCopy, DiskUsage } from '../../core/driver.ts'
import { Fault } from '../../lib/fault.ts'

/** All or nothing; undefined when `target` is there already. Faults with `not_found` when there is nothing to copy. */
export async function copyFolder(source: string, target: string): Promise<DiskCopy | undefined> {
  if (existsSync(target)) return undefined
  if (!existsSync(source))
    throw new Fault('not_found', 'disk-missing', `copy the disk ${source}: it is not there`)
  const draft = `${target}.new`
  await mkdir(dirname(target), { recursive: true, mode: 0o700 })
  await rm(draft, { recursive: true, force: true })
  await cp(source, draft, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true })
  await rename(draft, target)
  return { pausedMs: 0 }
}

/** A folder has no size of its own: it may grow to what the host has. */
export async function folderUsage(folder: string): Promise<DiskUsage | undefined> {
  if (!existsSync(folder)) return undefined
  const { blocks, bsize } = await statfs(folder)
  return { sizeBytes: blocks * bsize, usedBytes: 0 }
}
