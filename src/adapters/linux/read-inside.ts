import { aborted } from '../../lib/aborted.ts'
import type { Millis } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import { runProcess } from '../../lib/run-process.ts'
import { HELPER_ENV, helperPath } from './helper.ts'

const READ_FILE = helperPath('read-file.pl')
export const READ_BYTES = 1 << 20
/** What is mounted over the files inside may never answer. */
export const READ_MS: Millis = 5_000

/** See `Runtime.readInside`; through the root of a process of the sandbox. */
export async function readThroughProcess(pid: number, path: string, signal: AbortSignal): Promise<string> {
  const slow = AbortSignal.timeout(READ_MS)
  const either = AbortSignal.any([signal, slow])
  const reading = runProcess(['perl', READ_FILE, String(pid), path, String(READ_BYTES)], {
    env: HELPER_ENV,
    signal: either,
  })
  reading.catch(() => undefined) // Heard below, unless it cannot even be killed.
  const result = await Promise.race([reading, aborted(either)])
  if (result !== undefined) return result.code === 0 ? result.stdout : ''
  signal.throwIfAborted()
  throw noAnswer(path)
}

export const noAnswer = (path: string) =>
  new Fault('unavailable', 'user-look-up', `read ${path} in the environment: it does not answer`, {
    hint: 'a file system inside hangs; --user root needs no look-up',
  })
