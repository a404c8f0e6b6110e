import type { Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { systemClock } from '../../lib/clock.ts'

// A background process that the command left behind may hold its pipes for ever. What the command itself wrote is in
// the pipe when it ends, so a pipe that stays silent this long, while somebody is ready to read it, is done.
const SILENCE_MS = 200

/** Resolves when every stream has ended, or has nothing more to say although its reader is ready. */
export async function settleStreams(streams: readonly Readable[]): Promise<void> {
  await Promise.all(streams.map(settle))
}

async function settle(stream: Readable): Promise<void> {
  let open = true
  const end = finished(stream, { writable: false }).catch(() => undefined) // Destroyed by its reader: ended as well.
  void end.then(() => {
    open = false
  })
  let heard = received(stream)
  let silentSince = systemClock.now()
  while (open) {
    await Promise.race([end, systemClock.sleep(SILENCE_MS / 4)])
    if (received(stream) !== heard || waitsForReader(stream)) silentSince = systemClock.now()
    heard = received(stream)
    if (!open || systemClock.now() - silentSince <= SILENCE_MS) continue
    stream.push(null)
    await end
    stream.destroy()
  }
}

// Pipes of child processes are sockets, which count what came in.
const received = (stream: Readable): number => ('bytesRead' in stream ? Number(stream.bytesRead) : 0)

function waitsForReader(stream: Readable): boolean {
  if (stream.readableLength > 0 || stream.readableFlowing === null) return true
  return stream.readableFlowing === false && stream.listenerCount('readable') === 0
}
