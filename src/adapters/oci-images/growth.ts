import { readdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import { runProcess } from '../../lib/run-process.ts'

// Below this a file system is as good as full: tools fail at slightly different points.
const FULL_BYTES = 16 << 20

/**
 * Runs `work` and calls `check` about every `everyMs` until it has ended. A check that throws aborts the work, and its
 * fault is what comes out.
 */
export async function watching<T>(
  everyMs: number,
  check: () => Promise<void>,
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

/** Bytes that a tree takes on disk. Costs a walk over all of it. */
export async function diskUsageBytes(folder: string, signal: AbortSignal): Promise<number> {
  // Files may vanish while du walks; it says so, leaves with 1, and its sum is still right.
  const { stdout } = await runProcess(['du', '--summarize', '--one-file-system', '--block-size=1', folder], {
    signal,
  })
  return Number.parseInt(stdout, 10) || 0
}

/** Bytes that root can still write to the file system that holds `path`. */
export async function freeBytes(path: string): Promise<number> {
  const found = await statfs(path)
  return found.bfree * found.bsize
}

export function tooLarge(what: string): Fault {
  const hint = 'use a smaller image, or raise the size limit of images on the runner'
  return new Fault('invalid', 'image-too-large', `${what}: larger than this runner allows`, { hint })
}

/**
 * Notices that a tree outgrows `maxBytes` while it is being written. Walking the tree is dear, asking the file system
 * for its free space is not: the tree is walked only when about that much space has gone, and once at the end.
 */
export function createCeiling(folder: string, maxBytes: number): Ceiling {
  let freeAtLastWalk: number | undefined
  let bytesAtLastWalk = 0
  const walk = async (signal: AbortSignal) => {
    freeAtLastWalk = await freeBytes(folder)
    bytesAtLastWalk = await diskUsageBytes(folder, signal)
    if (bytesAtLastWalk > maxBytes) throw tooLarge('unpack an image')
  }
  return {
    async check(signal) {
      const free = await freeBytes(folder)
      freeAtLastWalk ??= free
      if (bytesAtLastWalk + (freeAtLastWalk - free) > maxBytes) await walk(signal)
    },
    final: walk,
    async growth() {
      return freeAtLastWalk === undefined ? 0 : bytesAtLastWalk + freeAtLastWalk - (await freeBytes(folder))
    },
  }
}

export interface Ceiling {
  /** Cheap; call it once before the writing begins. Faults with `invalid`, code `image-too-large`. */
  check(signal: AbortSignal): Promise<void>
  /** Exact. The same fault. */
  final(signal: AbortSignal): Promise<void>
  /** How many bytes were written, roughly: other writers to the file system count too. */
  growth(): Promise<number>
}

export async function isFull(path: string): Promise<boolean> {
  return (await freeBytes(path)) < FULL_BYTES
}

/** `1.2 GB`, as people read sizes. */
export function inWords(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`
  return bytes >= 1e6 ? `${Math.round(bytes / 1e6)} MB` : `${Math.round(bytes / 1e3)} kB`
}
