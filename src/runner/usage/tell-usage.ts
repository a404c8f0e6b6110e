// Tells the server what is used here, as often as the server asks for it: oftener while somebody looks.
import type { UsageReceipt } from '../../api/usage.ts'
import type { ApiClient } from '../../client/create-client.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { toFault } from '../../lib/fault.ts'
import type { Log } from '../../lib/log.ts'
import type { Meter } from './meter.ts'

/** Until something was measured. */
const FIRST_MS: Millis = 1_000
/** An older server does not take it, another one is away: neither is worth asking often. */
const RETRY_MS: Millis = 10_000
const LEAST_MS: Millis = 1_000
const MOST_MS: Millis = 60_000

/** Until `signal` aborts. Touches no resource; what cannot be told is dropped. */
export async function tellUsage(options: {
  readonly client: Pick<ApiClient, 'request'>
  readonly meter: Meter
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}): Promise<void> {
  const { client, meter, clock, log, signal } = options
  let lost = false
  while (!signal.aborted) {
    const report = meter.report()
    let pauseMs = FIRST_MS
    if (report !== undefined) {
      try {
        const { nextMs } = await client.request<UsageReceipt>('POST', '/runner/usage', {
          body: report,
          signal,
        })
        pauseMs = Math.min(Math.max(nextMs, LEAST_MS), MOST_MS)
        lost = false
      } catch (error) {
        if (signal.aborted) return
        const { reason, code, message } = toFault(error)
        // Once per outage; that the server is away is said of the heartbeat, too.
        if (!lost) log.info({ reason, code, message }, 'usage not told')
        lost = true
        pauseMs = RETRY_MS
      }
    }
    await clock.sleep(pauseMs, signal).catch(() => undefined) // Aborted: the loop sees it.
  }
}
