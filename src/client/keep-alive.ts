import type { WebSocket } from 'ws'
import type { Clock, Millis } from '../lib/clock.ts'

/** Often enough that no middlebox forgets the connection. */
const PING_MS: Millis = 20_000
/** Three pings without a sign of life. Windows keep both sides reading: a slow consumer is not taken for a dead one. */
const DEAD_MS: Millis = 60_000

/**
 * Pings the other side of a WebSocket until `signal` aborts (then it returns), and ends the connection when that side
 * has shown no sign of life for a minute: a machine that is gone sends no goodbye.
 */
export async function keepAlive(socket: WebSocket, clock: Clock, signal: AbortSignal): Promise<void> {
  let heard = clock.now()
  const onLife = () => {
    heard = clock.now()
  }
  for (const sign of ['ping', 'pong', 'message'] as const) socket.on(sign, onLife)
  try {
    for (;;) {
      await clock.sleep(PING_MS, signal)
      if (clock.now() - heard >= DEAD_MS) return socket.terminate()
      if (socket.readyState === socket.OPEN) socket.ping()
    }
  } catch {
    // Aborted: the connection is over.
  }
}
