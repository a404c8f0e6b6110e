import { Transform } from 'node:stream'
import { CHANNEL } from '../api/channels.ts'
import type { ChannelSocket } from '../client/channel-socket.ts'
import type { Exit } from '../core/exec.ts'
import { Fault } from '../lib/fault.ts'
import type { GatewayBackend } from './gateway-backend.ts'

/** Hands what is uploaded to the backend. A connection that breaks before the end, or a wrong size, errs the stream. */
export async function serveContent(
  channels: ChannelSocket,
  backend: GatewayBackend,
  environmentUid: string,
  { sizeBytes }: { readonly sizeBytes?: number | undefined },
  signal: AbortSignal,
): Promise<Exit> {
  const upload = channels.receive(CHANNEL.stdin)
  // An abort must not look like the end of the file.
  const onAbort = () =>
    upload.destroy(new Fault('cancelled', 'upload-cancelled', 'upload: the client gave up'))
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    const stream = sizeBytes === undefined ? upload : upload.compose(exactly(sizeBytes))
    await backend.receiveContent(environmentUid, stream as typeof upload, signal)
    if (signal.aborted) throw new Fault('cancelled', 'upload-cancelled', 'upload: the client gave up')
    return { code: 0 }
  } finally {
    signal.removeEventListener('abort', onAbort)
    upload.destroy()
  }
}

function exactly(sizeBytes: number): Transform {
  let seen = 0
  const wrong = () =>
    new Fault('malformed', 'upload-size-differs', `upload: not the ${sizeBytes} bytes that were announced`)
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      seen += chunk.length
      if (seen > sizeBytes) done(wrong())
      else done(null, chunk)
    },
    flush: done => (seen === sizeBytes ? done() : done(wrong())),
  })
}
