// Upgrades of the server: runners' tunnels, runners dialling back, and clients who come through the relay.
//
//   client ── wss /relay/RUNNER/entrance/… ──▶ server ◀── upgrade /runner/tunnel/ID ── runner
//
// The server checks the entrance token before it bothers the runner, then moves bytes that it does not understand; the
// runner's gateway checks the token again.
import type { IncomingMessage } from 'node:http'
import type { Server } from 'node:https'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import { uuidv7 } from '../../lib/ids.ts'
import type { Log } from '../../lib/log.ts'
import type { Authenticator } from '../authentication.ts'
import { faultResponse, publicFault } from '../http.ts'
import type { Pki } from '../pki/load-pki.ts'
import { pipeBoth } from './pipe.ts'
import { requestHead } from './request-head.ts'
import { Tunnels } from './tunnels.ts'

const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
const RELAY = new RegExp(`^/relay/(${UUID})(/entrance/(${UUID})/([a-z]+))$`)
const DIAL_BACK = /^\/runner\/tunnel\/([A-Za-z0-9_-]{1,64})$/
const TUNNEL = '/runner/tunnel'

export interface RelayDeps {
  readonly authenticator: Authenticator
  readonly pki: Pki
  readonly clock: Clock
  readonly log: Log
}

export interface Relay {
  /** Cuts every tunnel and every relayed connection. */
  close(): void
}

export function attachRelay(server: Server, deps: RelayDeps): Relay {
  const tunnels = new Tunnels(deps)
  const sockets = new Set<Duplex>()

  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    // Until somebody takes it over: a broken connection must not end the process.
    socket.on('error', () => undefined)
    const attempt = uuidv7(deps.clock.now())
    serveUpgrade(request, socket, head, tunnels, deps).catch(error => {
      const fault = publicFault(error, attempt, deps.log)
      deps.log.info(
        { attempt, path: pathOf(request), reason: fault.reason, code: fault.code },
        'upgrade refused',
      )
      if (socket.writable) socket.end(faultResponse(fault))
      else socket.destroy()
    })
  })

  return {
    close: () => {
      tunnels.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

async function serveUpgrade(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  tunnels: Tunnels,
  deps: RelayDeps,
): Promise<void> {
  const path = pathOf(request)
  const relayed = RELAY.exec(path)
  if (relayed !== null) {
    const [, runnerUid = '', inner = '', environmentUid, kind] = relayed
    return relayClient(request, socket, head, { runnerUid, inner, environmentUid, kind }, tunnels, deps)
  }
  const dialBack = DIAL_BACK.exec(path)
  if (dialBack === null && path !== TUNNEL)
    throw new Fault('not_found', 'upgrade-path-not-found', `upgrade ${path}: the server has no such path`)
  const principal = await deps.authenticator.authenticate(request.headers.authorization, addressOf(request))
  if (principal.kind !== 'runner')
    throw new Fault('forbidden', 'runners-only', `upgrade ${path}: for runners only`)
  expectProtocol(request, dialBack === null ? 'websocket' : 'bothy-relay')
  if (dialBack === null) return tunnels.accept(principal.uid, request, socket, head)

  const hand = tunnels.claim(dialBack[1]!, principal.uid)
  if (hand === undefined)
    throw new Fault('not_found', 'dial-not-found', 'relay: nobody waits for this connection (any more)')
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: bothy-relay\r\n\r\n')
  if (head.length > 0) socket.unshift(head)
  hand(socket)
}

interface RelayedPath {
  readonly runnerUid: string
  readonly inner: string
  readonly environmentUid: string | undefined
  readonly kind: string | undefined
}

async function relayClient(
  request: IncomingMessage,
  client: Duplex,
  head: Buffer,
  { runnerUid, inner, environmentUid, kind }: RelayedPath,
  tunnels: Tunnels,
  { authenticator, pki }: RelayDeps,
): Promise<void> {
  expectProtocol(request, 'websocket')
  const address = addressOf(request)
  const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? ''
  authenticator.admitAttempt(address)
  const claims = await pki.verifyEntrance(token, `runner:${runnerUid}`).catch(error => {
    authenticator.countFailure(address)
    throw error
  })
  if (claims.env !== environmentUid || claims.act !== kind)
    throw new Fault('forbidden', 'entrance-not-granted', 'relay: the token is for another entrance', {
      hint: 'ask the server for a token for this one',
    })
  const gone = new AbortController()
  const onClose = () => gone.abort()
  client.once('close', onClose)
  const runner = await tunnels.dial(runnerUid, gone.signal)
  client.off('close', onClose)
  if (client.destroyed) {
    runner.destroy()
    return
  }
  runner.write(requestHead(request, inner))
  if (head.length > 0) runner.write(head)
  pipeBoth(client, runner)
}

function expectProtocol(request: IncomingMessage, protocol: string): void {
  if (request.headers.upgrade?.toLowerCase() === protocol && request.method === 'GET') return
  throw new Fault('malformed', 'upgrade-protocol', `upgrade to '${protocol}' is what this path takes`)
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? '/').split('?', 1)[0]!
}

function addressOf(request: IncomingMessage): string {
  return request.socket.remoteAddress ?? ''
}
