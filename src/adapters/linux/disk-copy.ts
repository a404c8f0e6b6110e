// A disk made of another: see clone.pl, which shares the blocks. While a sandbox has the source, its keeper freezes it
// for the last and short step, so that the copy is what a disk is after a sync, and not after a power cut.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { DiskCopy } from '../../core/driver.ts'
import type { Clock } from '../../lib/clock.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { Fault } from '../../lib/fault.ts'
import { HELPER_ENV, helperPath } from './helper.ts'
import { whileFrozen } from './keeper-request.ts'

export interface CopyRequest {
  readonly source: string
  /** A path that nobody else uses; what is there is replaced. */
  readonly target: string
  /** Socket of the keeper that has `source`, if one has. */
  readonly keeperSocket: string
  readonly clock: Clock
  readonly signal: AbortSignal
}

/**
 * Faults with `not_found` when there is no source, `exhausted` when the pool is full, `unavailable` when the source is in
 * use but not by a sandbox that is ready. On any of them `target` may be there, and is the caller's to remove.
 */
export async function copyDisk(request: CopyRequest): Promise<DiskCopy> {
  const { source, target, keeperSocket, clock, signal } = request
  signal.throwIfAborted()
  const child = spawn('perl', [helperPath('clone.pl'), source, target], {
    cwd: '/',
    env: HELPER_ENV,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
  const kill = () => void child.kill('SIGKILL')
  const ended = new Promise<void>((resolve, reject) => {
    child.once('close', () => resolve())
    child.once('error', cause => reject(broken(source, cause.message)))
  })
  ended.catch(() => undefined) // Heard below.
  signal.addEventListener('abort', kill, { once: true })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    said = (said + chunk).slice(-1000)
  })
  child.stdin.on('error', () => undefined) // It has ended, and said why.
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const hear = async (): Promise<readonly string[]> => {
    const { done, value } = await lines.next()
    signal.throwIfAborted()
    if (done) {
      await ended
      throw broken(source, `it ended early ${said.trim()}`)
    }
    const [word = '', ...fields] = value.split('\t')
    if (word === 'failed') throw failure(source, Number(fields[0]), fields.slice(1).join(' '))
    return [word, ...fields]
  }
  try {
    let pausedMs = 0
    if ((await hear())[0] === 'ready') {
      failpoint('linux.disk-copying')
      const shared = async () => {
        failpoint('linux.disk-frozen')
        child.stdin.write('go\n')
        await hear()
      }
      pausedMs = (await whileFrozen(keeperSocket, shared, clock, signal)).pausedMs
    } else {
      await hear()
    }
    const [, extents, passes] = await hear()
    return { pausedMs, extents: Number(extents), passes: Number(passes) }
  } finally {
    signal.removeEventListener('abort', kill)
    kill()
    await ended.catch(() => undefined) // Told above.
  }
}

// From errno.h, the same on every architecture we run on.
const ENOENT = 2
const NO_ROOM = [28, 122] // ENOSPC, EDQUOT

function failure(source: string, errno: number, message: string): Fault {
  const what = `copy the disk ${source}: ${message}`
  if (errno === ENOENT) return new Fault('not_found', 'disk-missing', what)
  if (!NO_ROOM.includes(errno)) return broken(source, message)
  return new Fault('exhausted', 'pool-full', what, {
    hint: 'delete environments, snapshots or images, or give the runner a larger disk',
  })
}

const broken = (source: string, why: string) =>
  new Fault('unavailable', 'disk-copy', `copy the disk ${source}: ${why}`, { hint: 'it is tried again' })
