// Talks with copy-tree.pl, which copies a folder while nobody writes to it, and dies with us.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { DiskCopy } from '../../core/driver.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { Fault } from '../../lib/fault.ts'
import { HELPER_ENV, helperPath } from './helper.ts'

export interface TreeCopyRequest {
  readonly source: string
  /** A path that nobody else uses, and where nothing is. */
  readonly target: string
  /** Control group of those who write to `source`. Undefined: nobody does. */
  readonly freezer: string | undefined
  readonly signal: AbortSignal
}

/**
 * Faults with `exhausted` when there is no room, `unavailable` when something else went wrong. On any of them, and when
 * `signal` aborts, something may be at `target`, which is the caller's to remove; nobody works on it any more.
 */
export async function copyTree({ source, target, freezer, signal }: TreeCopyRequest): Promise<DiskCopy> {
  signal.throwIfAborted()
  failpoint('linux.disk-copying')
  const argv = [helperPath('copy-tree.pl'), source, target, ...(freezer === undefined ? [] : [freezer])]
  const child = spawn('perl', argv, {
    cwd: '/',
    env: HELPER_ENV,
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  })
  // The end of its input makes it end the copy first, and only then let go of who wrote.
  const give = () => child.stdin.end()
  const ended = new Promise<void>((resolve, reject) => {
    child.once('close', () => resolve())
    child.once('error', reject)
  })
  ended.catch(() => undefined) // Heard below.
  child.stdin.on('error', () => undefined) // It has ended, and said why.
  signal.addEventListener('abort', give, { once: true })
  if (signal.aborted) give()
  let pausedMs: number | undefined
  let failed: string | undefined
  let isDone = false
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const [word, value = ''] = line.split('\t')
      if (word === 'copied') pausedMs = Number(value)
      else if (word === 'failed') failed = value
      else if (word === 'done') isDone = true
    }
    await ended
  } finally {
    signal.removeEventListener('abort', give)
    give()
  }
  signal.throwIfAborted()
  if (isDone && pausedMs !== undefined) return { pausedMs }
  throw failure(source, failed ?? 'it ended early')
}

function failure(source: string, message: string): Fault {
  const what = `copy the disk ${source}: ${message}`
  if (!/No space left on device|Disk quota exceeded/.test(message))
    return new Fault('unavailable', 'disk-copy', what, { hint: 'it is tried again' })
  return new Fault('exhausted', 'pool-full', what, {
    hint: 'delete environments, snapshots or images, or give the runner a larger disk',
  })
}
