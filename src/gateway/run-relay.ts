// The way in for those who cannot reach the runner: it dials out to the server, holds a tunnel open, and dials once more
// for each client that the server announces on it. What travels is opaque to the server's relay and is judged by the
// gateway exactly as a direct connection is.
import { request } from 'node:https'
import type { Duplex } from 'node:stream'
import type { RawData } from 'ws'
import { dialTls } from '../client/dial-tls.ts'
import { dialWebSocket } from '../client/dial-websocket.ts'
import { keepAlive } from '../client/keep-alive.ts'
import { parseServerUrl, type ServerUrl } from '../client/server-url.ts'
import { faultOfAnswer } from '../client/status.ts'
import { networkFault } from '../client/transport.ts'
import { type Backoff, backoffMs } from '../lib/backoff.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import { Fault, toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import type { Gateway } from './create-gateway.ts'

const SUBPROTOCOL = 'v1.tunnel.bothy.dev'
const CONNECT_MS: Millis = 10_000
/** The server gives up on a client's connection when the runner has not dialled back by then. */
const DIAL_BACK_MS: Millis = 10_000
const BACKOFF: Backoff = { baseMs: 250, maxMs: 30_000 }
/** A tunnel that stood so long was a good one: the next attempt comes soon again. */
const STABLE_MS: Millis = 30_000
/** Dial-backs on their way at once; more than this only an ill server asks for. */
const MAX_DIALS = 256
const DIAL_ID = /^[A-Za-z0-9_-]{1,128}$/

export interface RelayOptions {
  readonly server: string
  /** PEM: the only authority that the server's certificate may come from. */
  readonly ca: string
  /** The runner's bearer token for the next request. */
  readonly credential: () => string | Promise<string>
  readonly gateway: Pick<Gateway, 'accept'>
  readonly log: Log
  readonly clock: Clock
  readonly signal: AbortSignal
}

/** Keeps the tunnel up until `signal` aborts, then returns. Connections that came through it belong to the gateway. */
export async function runRelay(options: RelayOptions): Promise<void> {
  const { clock, log, signal } = options
  const url = parseServerUrl(options.server)
  let failures = 0
  while (!signal.aborted) {
    const begun = clock.now()
    try {
      await holdTunnel(url, options)
      log.info('relay tunnel ended')
    } catch (error) {
      if (signal.aborted) return
      const { reason, code, message, hint } = toFault(error)
      log.warn({ reason, code, message, hint }, 'relay tunnel broken')
    }
    failures = clock.now() - begun >= STABLE_MS ? 1 : failures + 1
    // Aborted: the loop sees it.
    await clock.sleep(backoffMs(failures, BACKOFF), signal).catch(() => undefined)
  }
}

/** One tunnel from handshake to end. */
async function holdTunnel(url: ServerUrl, options: RelayOptions): Promise<void> {
  const { ca, clock, log, signal } = options
  const target = {
    url: new URL('/runner/tunnel', url.origin),
    ca,
    token: await options.credential(),
    subprotocol: SUBPROTOCOL,
  }
  const socket = await dialWebSocket(target, CONNECT_MS, signal)
  log.info({ server: url.origin }, 'relay tunnel up')
  const over = new AbortController()
  const closed = new Promise<void>(resolve => socket.once('close', () => resolve()))
  const onAbort = () => {
    socket.close(1001)
    socket.terminate()
  }
  signal.addEventListener('abort', onAbort, { once: true })
  socket.on('error', () => undefined) // `close` follows.
  let dials = 0
  socket.on('message', (data, isBinary) => {
    const id = isBinary ? undefined : parseDial(data)
    if (id === undefined || dials >= MAX_DIALS) {
      log.warn({ dials }, 'relay request refused')
      return
    }
    dials++
    dialBack(id, url, options)
      .catch(error => {
        const { reason, code, message } = toFault(error)
        log.warn({ reason, code, message }, 'relay dial-back failed')
      })
      .finally(() => dials--)
  })
  const kept = keepAlive(socket, clock, over.signal)
  socket.resume()
  if (signal.aborted) onAbort()
  await closed
  signal.removeEventListener('abort', onAbort)
  over.abort()
  await kept
}

/** Fetches one announced connection and hands it to the gateway. */
async function dialBack(id: string, url: ServerUrl, options: RelayOptions): Promise<void> {
  const token = await options.credential()
  const signal = AbortSignal.any([options.signal, AbortSignal.timeout(DIAL_BACK_MS)])
  const socket = await dialTls({ ...url, ca: options.ca }, CONNECT_MS, signal)
  const connection = await upgrade(socket, url, `/runner/tunnel/${id}`, token, signal)
  options.gateway.accept(connection)
}

function upgrade(
  connection: Duplex,
  url: ServerUrl,
  path: string,
  token: string,
  signal: AbortSignal,
): Promise<Duplex> {
  const attempt = 'fetch a relayed connection'
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      connection.destroy()
      reject(networkFault(error, attempt, url.origin))
    }
    const asking = request({
      createConnection: () => connection,
      host: url.host,
      port: url.port,
      path,
      headers: { connection: 'Upgrade', upgrade: 'bothy-relay', authorization: `Bearer ${token}` },
    })
    const onAbort = () => fail(new Fault('timeout', 'dial-back-late', `${attempt}: it took too long`))
    signal.addEventListener('abort', onAbort, { once: true })
    asking.once('error', fail)
    asking.once('response', answer => {
      signal.removeEventListener('abort', onAbort)
      answer.resume()
      fail(faultOfAnswer(answer.statusCode ?? 0, '', attempt))
    })
    asking.once('upgrade', (_answer, socket, head) => {
      signal.removeEventListener('abort', onAbort)
      asking.off('error', fail)
      // The client's request may have come along with the server's answer.
      if (head.length > 0) socket.unshift(head)
      resolve(socket)
    })
    asking.end()
  })
}

function parseDial(data: RawData): string | undefined {
  try {
    const { dial } = JSON.parse(String(data)) as { dial?: unknown }
    return typeof dial === 'string' && DIAL_ID.test(dial) ? dial : undefined
  } catch {
    return undefined // Not a request that we know.
  }
}
