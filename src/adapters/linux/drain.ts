import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { systemClock } from '../../lib/clock.ts'

// A background process that the command left behind may hold its pipes for ever. What the command itself wrote is in
// the pipe when it ends, so a pipe that stays silent this long, while somebody is ready to read it, is done.
const SILENCE_MS = 200

/**
 * Resolves when every stream that somebody reads has ended, or has nothing more to say although its reader is ready.
 * Streams that nobody reads are left as they are, for whoever comes later; an abort ends them all.
 */
export async function settleStreams(streams: readonly Readable[], signal: AbortSignal): Promise<void> {
  await Promise.all(streams.map(stream => settle(stream, signal)))
}

async function settle(stream: Readable, signal: AbortSignal): Promise<void> {
  let open = true
  const end = finished(stream, { writable: false }).catch(() => undefined) // Destroyed by its reader: ended as well.
  void end.then(() => {
    open = false
  })
  let heard = received(stream)
  let silentSince = systemClock.now()
  while (open && isRead(stream)) {
    await Promise.race([end, systemClock.sleep(SILENCE_MS / 4)])
    if (received(stream) !== heard || stream.readableLength > 0) silentSince = systemClock.now()
    heard = received(stream)
    if (!open || (systemClock.now() - silentSince <= SILENCE_MS && !signal.aborted)) continue
    stream.push(null)
    await Promise.race([end, systemClock.sleep(SILENCE_MS)])
    stream.destroy()
    return
  }
  if (signal.aborted) stream.destroy()
}

// Pipes of child processes are sockets, which count what came in.
const received = (stream: Readable): number => ('bytesRead' in stream ? Number(stream.bytesRead) : 0)

const isRead = (stream: Readable): boolean =>
  stream.readableFlowing === true ||
  (stream.readableFlowing === false && stream.listenerCount('readable') > 0)
