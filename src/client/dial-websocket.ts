// A WebSocket over a TLS connection that is made first. Two steps, because they fail differently: an address that cannot
// be connected is passed over for the next one; an answer, even a refusal, is the answer.
import type { ClientRequest, IncomingMessage } from 'node:http'
import type { WebSocket } from 'ws'
import { MESSAGE_BYTES } from '../api/channels.ts'
import type { Millis } from '../lib/clock.ts'
import { Fault } from '../lib/fault.ts'
import { type DialTarget, dialTls } from './dial-tls.ts'
import { bareHost } from './server-url.ts'
import { faultOfAnswer } from './status.ts'
import { networkFault } from './transport.ts'

/** For the handshake on a connection that stands; a relay has 10 s to reach the runner. */
const HANDSHAKE_MS = 15_000
const REFUSAL_BYTES = 64 * 1024

export interface WebSocketTarget {
  /** `wss://host:port/path` or the same with `https`. */
  readonly url: URL
  readonly ca: string
  readonly token: string
  readonly subprotocol: string
}

/** Faults with `malformed` unless `text` is a URL that is reached through TLS. */
export function parseWebSocketUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const safe = url?.protocol === 'wss:' || url?.protocol === 'https:'
  if (url !== undefined && safe && url.username === '' && url.password === '') return url
  throw new Fault('malformed', 'entrance-url-invalid', `'${text}' is not a wss:// or https:// URL`)
}

export function tlsTargetOf(url: URL, ca: string): DialTarget {
  return { host: bareHost(url), port: Number(url.port || 443), ca }
}

/**
 * Connects, sends the token, and resolves with an open WebSocket, paused: `resume` it once somebody listens. Faults with
 * `code` `dial-timeout` or `server-unreachable` when no connection was made (the token was not sent then), and else with
 * what the other side said.
 */
export async function dialWebSocket(
  target: WebSocketTarget,
  connectMs: Millis,
  signal?: AbortSignal,
): Promise<WebSocket> {
  const { url, token, subprotocol } = target
  // Loaded while the connection is made: 10 ms that nobody waits for.
  const [{ WebSocket: Socket }, socket] = await Promise.all([
    import('ws'),
    dialTls(tlsTargetOf(url, target.ca), connectMs, signal),
  ])
  const attempt = `enter ${url.host}`
  return new Promise((resolve, reject) => {
    const address = `wss://${url.host}${url.pathname}`
    const webSocket = new Socket(address, [subprotocol], {
      createConnection: () => socket,
      perMessageDeflate: false,
      followRedirects: false,
      handshakeTimeout: HANDSHAKE_MS,
      maxPayload: MESSAGE_BYTES,
      headers: { authorization: `Bearer ${token}` },
    })
    const end = (error: Error) => {
      signal?.removeEventListener('abort', onAbort)
      webSocket.on('error', () => undefined) // Ending a handshake makes one, which says nothing new.
      webSocket.terminate()
      socket.destroy()
      reject(error)
    }
    const onAbort = () => end(new Fault('cancelled', 'dial-cancelled', `${attempt}: cancelled`))
    const onError = (error: Error) => end(networkFault(error, attempt, url.origin))
    signal?.addEventListener('abort', onAbort, { once: true })
    webSocket.once('error', onError)
    webSocket.once('unexpected-response', (_request: ClientRequest, answer: IncomingMessage) => {
      webSocket.off('error', onError)
      void refusal(answer, attempt).then(end)
    })
    webSocket.once('open', () => {
      signal?.removeEventListener('abort', onAbort)
      webSocket.off('error', onError)
      webSocket.pause()
      resolve(webSocket)
    })
  })
}

async function refusal(answer: IncomingMessage, attempt: string): Promise<Fault> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > REFUSAL_BYTES) break
      chunks.push(chunk)
    }
  } catch {
    // Cut short: the status alone says enough.
  }
  return faultOfAnswer(answer.statusCode ?? 0, Buffer.concat(chunks).toString('utf8'), attempt)
}
