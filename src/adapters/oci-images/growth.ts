import { readdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import { runProcess } from '../../lib/run-process.ts'
import { LAST_IN_LINE } from './tool.ts'

// Below this a file system is as good as full: tools fail at slightly different points.
const FULL_BYTES = 16 << 20

/**
 * Runs `work` and calls `check` about every `everyMs` until it has ended. A check that throws aborts the work, and its
 * fault is what comes out.
 */
export async function watching<T>(
  everyMs: number,
  check: () => Promise<unknown>,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
  clock: Clock = systemClock,
): Promise<T> {
  const ended = new AbortController()
  const stop = new AbortController()
  let objection: unknown
  const checks = (async () => {
    while (!ended.signal.aborted) {
      try {
        await clock.sleep(everyMs, ended.signal)
      } catch {
        // The work has ended: nothing is left to check.
        return
      }
      try {
        await check()
      } catch (cause) {
        objection = cause
        stop.abort()
        return
      }
    }
  })()
  try {
    return await work(AbortSignal.any([signal, stop.signal]))
  } catch (cause) {
    throw objection ?? cause
  } finally {
    ended.abort()
    await checks
  }
}

/** Bytes in the files of a folder of few files, e.g. an image layout being written; files that vanish count nothing. */
export async function folderBytes(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true }).catch(() => [] as string[])
  const sizes = entries.map(entry =>
    stat(join(folder, entry)).then(
      found => (found.isFile() ? found.size : 0),
      () => 0,
    ),
  )
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

/** Bytes, or files of any kind, that a tree takes on disk. Costs a walk over all of it. */
export async function diskUsage(folder: string, of: 'bytes' | 'files', signal: AbortSignal): Promise<number> {
  const unit = of === 'bytes' ? '--block-size=1' : '--inodes'
  // Files may vanish while du walks; it says so, leaves with 1, and its sum is still right.
  const argv = [...LAST_IN_LINE, 'du', '--summarize', '--one-file-system', unit, folder] as const
  const { stdout } = await runProcess(argv, { signal })
  return Number.parseInt(stdout, 10) || 0
}

/** What the file system that holds `path` has left for root, and how many files there are on it. */
async function roomOf(path: string): Promise<{ bytes: number; files: number }> {
  const found = await statfs(path)
  // Without a table of fixed size (btrfs) both are nought, and files are not counted.
  return { bytes: found.bfree * found.bsize, files: found.files - found.ffree }
}

export function tooLarge(what: string, of: 'bytes' | 'files' = 'bytes'): Fault {
  const hint = 'use a smaller image, or raise images.maxSize or images.maxFiles in runner.yaml'
  const message = of === 'bytes' ? 'larger than' : 'more files than'
  return new Fault('invalid', 'image-too-large', `${what}: ${message} this runner allows`, { hint })
}

/** How much an image may take, unpacked. */
export interface Limits {
  readonly maxBytes: number
  readonly maxFiles: number
  /** Bytes that may be taken now. Faults with `exhausted` when that is less than `bytes`, or nothing. Default: nought. */
  requireRoom(what: string, bytes?: number): Promise<number>
}

/**
 * Notices that a tree outgrows its limits while it is being written. Walking the tree is dear, asking the file system
 * for what it has left is not: the tree is walked only when about that much has gone, and once at the end.
 */
export function createCeiling(folder: string, { maxBytes, maxFiles, requireRoom }: Limits): Ceiling {
  const what = 'unpack an image'
  let before: { bytes: number; files: number } | undefined
  let counted = { bytes: 0, files: 0 }
  const grownSince = async () => {
    const now = await roomOf(folder)
    before ??= now
    return {
      bytes: counted.bytes + before.bytes - now.bytes,
      files: counted.files + now.files - before.files,
    }
  }
  const walk = async (signal: AbortSignal) => {
    const found = await roomOf(folder)
    const [bytes, files] = await Promise.all([
      diskUsage(folder, 'bytes', signal),
      diskUsage(folder, 'files', signal),
    ])
    before = found
    counted = { bytes, files }
    if (bytes > maxBytes) throw tooLarge(what)
    if (files > maxFiles) throw tooLarge(what, 'files')
  }
  return {
    async check(signal) {
      await requireRoom(what)
      const { bytes, files } = await grownSince()
      if (bytes > maxBytes || files > maxFiles) await walk(signal)
    },
    async final(signal) {
      await walk(signal)
      return counted.bytes
    },
    growth: async () => (before === undefined ? 0 : (await grownSince()).bytes),
  }
}

export interface Ceiling {
  /** Cheap; call it once before the writing begins. Faults with `invalid`, code `image-too-large`, and `exhausted`. */
  check(signal: AbortSignal): Promise<void>
  /** Exact; resolves with the bytes. Faults with `invalid`, code `image-too-large`. */
  final(signal: AbortSignal): Promise<number>
  /** How many bytes were written, roughly: other writers to the file system count too. */
  growth(): Promise<number>
}

export async function isFull(path: string): Promise<boolean> {
  return (await roomOf(path)).bytes < FULL_BYTES
}

/** `1.2 GB`, as people read sizes. */
export function inWords(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`
  return bytes >= 1e6 ? `${Math.round(bytes / 1e6)} MB` : `${Math.round(bytes / 1e3)} kB`
}
