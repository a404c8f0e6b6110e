import pg from 'pg'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'

const FIRST_RETRY_MS = 250
const LAST_RETRY_MS = 10_000

export interface ListenOptions {
  readonly connection: pg.ClientConfig
  readonly channel: string
  readonly onNotify: () => void
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

/**
 * Keeps one connection that listens on `channel`, until `signal` aborts. It is a shortcut, not the truth: while it is
 * down nothing is lost, since readers poll; so its failures are logged and never thrown.
 */
export async function listen({
  connection,
  channel,
  onNotify,
  clock,
  log,
  signal,
}: ListenOptions): Promise<void> {
  let delayMs = FIRST_RETRY_MS
  while (!signal.aborted) {
    try {
      await session(connection, channel, signal, () => {
        delayMs = FIRST_RETRY_MS
        onNotify()
      })
    } catch (error) {
      if (signal.aborted) return
      log.debug({ error: String(error), retryMs: delayMs }, 'listening connection lost')
    }
    // Rejects only because of the abort, which the loop sees.
    await clock.sleep(delayMs, signal).catch(() => undefined)
    delayMs = Math.min(delayMs * 2, LAST_RETRY_MS)
  }
}

/** Runs until the connection breaks (throws) or the signal aborts (returns). Calls `onNotify` once at the start. */
async function session(
  connection: pg.ClientConfig,
  channel: string,
  signal: AbortSignal,
  onNotify: () => void,
): Promise<void> {
  const client = new pg.Client({ ...connection, application_name: 'bothy-listen' })
  const broken = Promise.withResolvers<void>()
  client.on('error', broken.reject)
  client.on('end', () => broken.reject(new Error('the server closed the connection')))
  client.on('notification', onNotify)
  const onAbort = () => broken.resolve()
  signal.addEventListener('abort', onAbort, { once: true })
  // Also awaited below; here it keeps an early failure from counting as unhandled.
  broken.promise.catch(() => undefined)
  try {
    await client.connect()
    await client.query(`LISTEN ${pg.escapeIdentifier(channel)}`)
    onNotify()
    await broken.promise
  } finally {
    signal.removeEventListener('abort', onAbort)
    // The connection may be gone already.
    await client.end().catch(() => undefined)
  }
}
