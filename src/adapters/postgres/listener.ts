import pg from 'pg'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'

const FIRST_RETRY_MS = 250
const LAST_RETRY_MS = 10_000

export interface ListenOptions {
  readonly connection: pg.ClientConfig
  /** Called with every notification of a channel, and once whenever listening begins. */
  readonly channels: Readonly<Record<string, () => void>>
  /** Called when notifications can no longer be heard. */
  readonly onLost: () => void
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

/**
 * Keeps one connection that listens on the channels, until `signal` aborts. It is a shortcut, not the truth: while it is
 * down nothing is lost, since readers poll; so its failures are logged and never thrown.
 */
export async function listen({
  connection,
  channels,
  onLost,
  clock,
  log,
  signal,
}: ListenOptions): Promise<void> {
  let delayMs = FIRST_RETRY_MS
  while (!signal.aborted) {
    try {
      await session(connection, channels, signal, () => {
        delayMs = FIRST_RETRY_MS
      })
    } catch (error) {
      onLost()
      if (signal.aborted) return
      log.debug({ error: String(error), retryMs: delayMs }, 'listening connection lost')
    }
    // Rejects only because of the abort, which the loop sees.
    await clock.sleep(delayMs, signal).catch(() => undefined)
    delayMs = Math.min(delayMs * 2, LAST_RETRY_MS)
  }
}

/** Runs until the connection breaks (throws) or the signal aborts (returns). */
async function session(
  connection: pg.ClientConfig,
  channels: ListenOptions['channels'],
  signal: AbortSignal,
  onListening: () => void,
): Promise<void> {
  const client = new pg.Client({ ...connection, application_name: 'bothy-listen' })
  const broken = Promise.withResolvers<void>()
  client.on('error', broken.reject)
  client.on('end', () => broken.reject(new Error('the server closed the connection')))
  client.on('notification', ({ channel }) => channels[channel]?.())
  const onAbort = () => broken.resolve()
  signal.addEventListener('abort', onAbort, { once: true })
  // Also awaited below; here it keeps an early failure from counting as unhandled.
  broken.promise.catch(() => undefined)
  try {
    await client.connect()
    for (const channel of Object.keys(channels)) await client.query(`LISTEN ${pg.escapeIdentifier(channel)}`)
    onListening()
    for (const notify of Object.values(channels)) notify()
    await broken.promise
  } finally {
    signal.removeEventListener('abort', onAbort)
    // The connection may be gone already.
    await client.end().catch(() => undefined)
  }
}
