import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

// Finds peers that vanished without a word, at both ends.
const KEEPALIVE_MS = 30_000

/**
 * Joins two connections until either ends or breaks: then both are gone, after what had arrived has been passed on.
 * Back-pressure is the streams' own. Half-closed connections are not kept: WebSockets say goodbye before they end.
 */
export function pipeBoth(a: Duplex, b: Duplex): void {
  join(a, b)
  join(b, a)
}

function join(from: Duplex, to: Duplex): void {
  if (from instanceof Socket) {
    from.setKeepAlive(true, KEEPALIVE_MS)
    from.setNoDelay(true)
    from.setTimeout(0)
  }
  // An error is followed by `close`, which is where both are taken down.
  from.on('error', () => undefined)
  from.once('close', () => {
    // After an orderly end, what had arrived is still on its way out; after a break nobody waits for it.
    if (from.readableEnded && !to.writableFinished) to.once('finish', () => to.destroy())
    else to.destroy()
  })
  from.pipe(to)
  if (from.destroyed) to.destroy()
}
