import type { ApiClient } from '../client/create-client.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import { toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'

/** A lease holds for 30 s: two renewals may get lost. */
const RENEW_MS: Millis = 10_000
const RETRY_MS: Millis = 2_000

/** Renews the runner's lease until `signal` aborts. Touches no resource. */
export async function runHeartbeat(options: {
  readonly client: Pick<ApiClient, 'request'>
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}): Promise<void> {
  const { client, clock, log, signal } = options
  let lost = false
  while (!signal.aborted) {
    let pauseMs = RENEW_MS
    try {
      await client.request('POST', '/runner/lease', { signal })
      if (lost) log.info('heard by the server again')
      lost = false
    } catch (error) {
      if (signal.aborted) return
      const { reason, code, message } = toFault(error)
      // Once per outage: an unreachable server would fill the log otherwise.
      if (!lost) log.warn({ reason, code, message }, 'heartbeat failed')
      lost = true
      pauseMs = RETRY_MS
    }
    await clock.sleep(pauseMs, signal).catch(() => undefined) // Aborted: the loop sees it.
  }
}
