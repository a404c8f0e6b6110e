import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CHANNEL } from '../api/channels.ts'
import type { EntranceGrant } from '../api/entrance.ts'
import { enter } from './entrance.ts'

/**
 * Sends a git bundle to an environment that waits for one. Resolves when the runner has it whole; faults with what the
 * runner says, with `unavailable` when the connection breaks, and with the stream's own error when that fails: the
 * runner then does not take what it got for the whole.
 */
export async function uploadContent(
  grant: EntranceGrant,
  stream: Readable,
  signal: AbortSignal,
): Promise<void> {
  const sourceFailed = new AbortController()
  const over = new AbortController()
  const stop = AbortSignal.any([signal, sourceFailed.signal])
  const { channels, opened, ended } = await enter(grant, {}, stop)
  await opened
  let sourceError: unknown
  const sent = pipeline(stream, channels.send(CHANNEL.stdin), { signal: over.signal }).catch(error => {
    if (!over.signal.aborted) sourceError = error
    sourceFailed.abort()
  })
  try {
    await ended
  } catch (fault) {
    throw sourceError ?? fault
  } finally {
    over.abort()
    await sent
  }
  if (sourceError !== undefined) throw sourceError
}
