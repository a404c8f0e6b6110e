// The runner's own door: terminals, uploads and logs, straight from the client or through the relay. Both arrive at the
// same HTTP server and pass the same checks, in one place: `onUpgrade`.
import { createServer, type IncomingMessage, type ServerOptions, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { JWK } from 'jose'
import { WebSocketServer } from 'ws'
import { type EntranceClaims, MESSAGE_BYTES, SUBPROTOCOL } from '../api/entrance.ts'
import type { Clock } from '../lib/clock.ts'
import { createFailureLimiter } from '../lib/failure-limiter.ts'
import { Fault, REASONS, toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import { createAdmission } from './admission.ts'
import type { GatewayBackend } from './gateway-backend.ts'
import { parseKnock } from './parse-knock.ts'
import { refusalBody, refuse } from './refuse.ts'
import { serveEntrance } from './session.ts'

/** Connections at once; each costs a file descriptor or two, and up to 3 MiB when its reader is slow. */
const MAX_CONNECTIONS = 1024

export interface GatewayOptions {
  readonly runnerUid: string
  /** The control plane's public keys, as currently known. */
  readonly keys: () => readonly JWK[]
  readonly backend: GatewayBackend
  readonly log: Log
  readonly clock: Clock
}

/** PEM. */
export interface GatewayCertificate {
  readonly certificate: string
  readonly key: string
}

export interface Gateway {
  /** Takes direct connections. Port 0: any free one. Faults with `unavailable` when the address cannot be had. */
  listen(
    options: GatewayCertificate & { readonly host: string; readonly port: number },
  ): Promise<{ url: string }>
  /** For connections from now on. */
  renew(certificate: GatewayCertificate): void
  /** Serves a connection that came some other way, e.g. through the relay. */
  accept(connection: Duplex): void
  /** Ends every entrance, and with it what runs in it, and stops listening. */
  close(): Promise<void>
}

const HTTP: ServerOptions = {
  // A request here is a line and a few headers.
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 5_000,
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
}

export function createGateway({ runnerUid, keys, backend, log, clock }: GatewayOptions): Gateway {
  const admit = createAdmission({ runnerUid, keys, clock })
  const limiter = createFailureLimiter(clock)
  const closing = new AbortController()
  const connections = new Set<Duplex>()
  const entrances = new Set<Promise<void>>()
  const relayed = new WeakSet<Duplex>()
  const webSockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    // For the client's half of the closing handshake; the last word was sent before. Newer than the package's types.
    ...({ closeTimeout: 2_000 } as object),
    maxPayload: MESSAGE_BYTES,
    handleProtocols: () => SUBPROTOCOL,
  })

  /** The one place where anybody is let in. */
  const onUpgrade = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const source = relayed.has(socket) ? 'relay' : ((socket as Socket).remoteAddress ?? 'unknown')
    const onEarlyError = () => undefined // It closes; there is nobody to answer.
    socket.on('error', onEarlyError)
    let claims: EntranceClaims
    try {
      const knock = parseKnock(request)
      claims = await admit(knock)
      if (closing.signal.aborted)
        throw new Fault('unavailable', 'gateway-closing', 'enter: the gateway is closing')
    } catch (error) {
      return onRefused(toFault(error), socket, source)
    }
    webSockets.handleUpgrade(request, socket, head, webSocket => {
      socket.off('error', onEarlyError)
      log.info({ source, env: claims.env, act: claims.act, sub: claims.sub }, 'entrance begins')
      const session = serveEntrance(webSocket, claims, { backend, clock, log, signal: closing.signal })
      const ended = session
        .catch(err => log.error({ err }, 'entrance failed'))
        .finally(() => entrances.delete(ended))
      entrances.add(ended)
    })
  }

  // Who has a valid token is let in whatever others at the same address do. Refused attempts are answered and logged up
  // to a rate; through the relay all share an address, but the server has verified their tokens before.
  const onRefused = (fault: Fault, socket: Duplex, source: string): void => {
    if (source !== 'relay' && limiter.waitMs(source) > 0) {
      socket.destroy()
      return
    }
    limiter.fail(source)
    log.warn({ source, reason: fault.reason, code: fault.code, why: causeOf(fault) }, 'entrance refused')
    refuse(socket, fault)
  }

  const onRequest = (_request: IncomingMessage, response: ServerResponse): void => {
    const fault = new Fault(
      'not_found',
      'entrance-path-unknown',
      'this gateway serves entrances and nothing else',
    )
    response.writeHead(REASONS[fault.reason].status, {
      'content-type': 'application/json',
      connection: 'close',
    })
    response.end(refusalBody(fault))
  }

  const track = (connection: Duplex): void => {
    if (connections.size >= MAX_CONNECTIONS || closing.signal.aborted) {
      connection.destroy()
      return
    }
    connections.add(connection)
    connection.once('close', () => connections.delete(connection))
  }

  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) =>
    void onUpgrade(request, socket, head)
  const inner = createServer(HTTP, onRequest).on('upgrade', upgrade)
  let outer: TlsServer | undefined

  return {
    async listen({ host, port, certificate, key }) {
      const server = createTlsServer(
        { ...HTTP, cert: certificate, key, minVersion: 'TLSv1.2', handshakeTimeout: 10_000 },
        onRequest,
      )
      server.on('upgrade', upgrade).on('secureConnection', track)
      server.maxConnections = MAX_CONNECTIONS
      await new Promise<void>((resolve, reject) => {
        server.once('error', cause => reject(cannotListen(host, port, cause)))
        server.listen({ host, port }, resolve)
      })
      outer = server
      const bound = server.address() as AddressInfo
      return {
        url: `https://${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`,
      }
    },
    renew({ certificate, key }) {
      outer?.setSecureContext({ cert: certificate, key, minVersion: 'TLSv1.2' })
    },
    accept(connection) {
      relayed.add(connection)
      track(connection)
      inner.emit('connection', connection)
    },
    async close() {
      closing.abort()
      const closed = new Promise<void>(resolve =>
        outer === undefined ? resolve() : outer.close(() => resolve()),
      )
      await Promise.all(entrances)
      webSockets.close()
      for (const connection of connections) connection.destroy()
      outer?.closeAllConnections()
      await closed
    },
  }
}

/** What the check said, without what was checked. */
function causeOf(fault: Fault): string {
  return fault.cause instanceof Error && fault.cause.name !== 'ZodError' ? fault.cause.message : fault.message
}

function cannotListen(host: string, port: number, cause: Error): Fault {
  const code = 'code' in cause ? String(cause.code) : cause.message
  return new Fault('unavailable', 'gateway-listen', `listen on ${host}:${port}: ${code}`, {
    cause,
    hint: 'choose another address for the gateway',
  })
}
