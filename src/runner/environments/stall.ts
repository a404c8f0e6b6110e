import type { Clock, Millis } from '../../lib/clock.ts'
import { Fault, toFault } from '../../lib/fault.ts'

/**
 * Runs `body` for as long as it advances: whenever `stallMs` pass without a call of `advanced`, its signal aborts, and
 * the result is a fault `timeout` (code `stalled`). How long it takes in all does not matter.
 */
export async function withStallGuard<T>(
  clock: Clock,
  stallMs: Millis,
  signal: AbortSignal,
  body: (advanced: (what: string) => void, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const stalled = new AbortController()
  const finished = new AbortController()
  let lastMs = clock.now()
  let last = 'it began'
  const watch = async () => {
    for (let left = stallMs; left > 0; left = lastMs + stallMs - clock.now())
      await clock.sleep(left, finished.signal)
    stalled.abort()
  }
  watch().catch(() => undefined) // The body finished first.
  try {
    return await body(
      what => {
        lastMs = clock.now()
        last = what
      },
      AbortSignal.any([signal, stalled.signal]),
    )
  } catch (error) {
    if (!stalled.signal.aborted || signal.aborted || toFault(error).reason !== 'cancelled') throw error
    const message = `no progress for ${Math.max(1, Math.round(stallMs / 1000))} s; the last that was heard: ${last}`
    const hint = 'is the network slow or a server hanging? It is tried again'
    throw new Fault('timeout', 'stalled', message, { cause: error, hint })
  } finally {
    finished.abort()
  }
}
