import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterEach, describe, expect, test } from 'vitest'
import { type WebSocket, WebSocketServer } from 'ws'
import { type GatewayFixture, openGateway } from '../../test/support/gateway.ts'
import type { EntranceGrant } from '../api/entrance.ts'
import { openExec } from '../client/open-exec.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { runRelay } from './run-relay.ts'

/** The server's side of the wire, and nothing of its judgement. */
class Relay {
  readonly tunnels: WebSocket[] = []
  readonly credentials: (string | undefined)[] = []
  readonly #server: Server
  readonly #waiting = new Map<string, (runner: Duplex) => void>()
  #count = 0

  constructor(certificate: string, key: string) {
    const webSockets = new WebSocketServer({ noServer: true })
    this.#server = createServer({ cert: certificate, key })
    this.#server.on('upgrade', (request, socket: Duplex, head) => {
      if (request.url === '/runner/tunnel') {
        this.credentials.push(request.headers.authorization)
        webSockets.handleUpgrade(request, socket, head, tunnel => {
          this.tunnels.push(tunnel)
          this.#server.emit('tunnel', tunnel)
        })
      } else if (request.url?.startsWith('/runner/tunnel/')) {
        this.credentials.push(request.headers.authorization)
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: bothy-relay\r\n\r\n',
        )
        this.#waiting.get(request.url.slice('/runner/tunnel/'.length))?.(socket)
      } else {
        this.#relay(request, socket, head)
      }
    })
  }

  #relay(request: IncomingMessage, client: Duplex, head: Buffer): void {
    const id = `dial-${++this.#count}`
    this.#waiting.set(id, runner => {
      const lines = [`GET ${request.url?.replace(/^\/relay\/[^/]+/, '')} HTTP/1.1`]
      for (let i = 0; i < request.rawHeaders.length; i += 2) {
        lines.push(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}`)
      }
      runner.write(`${lines.join('\r\n')}\r\n\r\n`)
      runner.write(head)
      client.pipe(runner).pipe(client)
      client.on('error', () => runner.destroy()).on('close', () => runner.destroy())
      runner.on('error', () => client.destroy()).on('close', () => client.destroy())
    })
    this.tunnels.at(-1)?.send(JSON.stringify({ dial: id }))
  }

  async listen(port = 0): Promise<string> {
    this.#server.listen(port, '127.0.0.1')
    await once(this.#server, 'listening')
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async tunnel(): Promise<WebSocket> {
    const open = this.tunnels.find(each => each.readyState === each.OPEN)
    return open ?? ((await once(this.#server, 'tunnel')) as [WebSocket])[0]
  }

  close(): void {
    for (const tunnel of this.tunnels) tunnel.terminate()
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

let fixture: GatewayFixture
let relay: Relay
const abort = { current: new AbortController() }
let running: Promise<void>
const open = async () => {
  fixture = await openGateway()
  const { certificate, key } = await fixture.pki.serverCertificate(['127.0.0.1'])
  relay = new Relay(certificate, key)
  const server = await relay.listen()
  abort.current = new AbortController()
  let used = 0
  running = runRelay({
    server,
    ca: fixture.pki.ca,
    credential: () => `credential-${++used}`,
    gateway: fixture.gateway,
    log: silentLog,
    clock: systemClock,
    signal: abort.current.signal,
  })
  const grant = async (): Promise<EntranceGrant> => {
    const direct = await fixture.grant('exec')
    const { pathname } = new URL(direct.urls[0]!)
    return { ...direct, urls: [`${server.replace('https', 'wss')}/relay/${fixture.runnerUid}${pathname}`] }
  }
  return { grant, server }
}
describe('the relay', () => {
  afterEach(async () => {
    abort.current.abort()
    await running
    relay.close()
    await fixture.close()
  })

  test('a command runs through the relay as it does directly, each byte of it', async ({ signal }) => {
    const { grant } = await open()
    await relay.tunnel()
    const sent = Buffer.alloc(
      1_000_003,
      Uint8Array.from({ length: 251 }, (_, i) => i),
    )
    const grants = await Promise.all([grant(), grant(), grant()])
    const streams = await Promise.all(grants.map(each => openExec(each, { argv: ['cat'] }, signal)))
    for (const stream of streams) stream.stdin.end(sent)
    for (const stream of streams) {
      expect((await buffer(stream.stdout)).equals(sent)).toBe(true)
      expect(await stream.exit).toEqual({ code: 0 })
    }
    // A fresh one for the tunnel and for each connection.
    expect(relay.credentials).toEqual([1, 2, 3, 4].map(i => `Bearer credential-${i}`))
  })

  test('tokens are judged behind the relay too', async ({ signal }) => {
    const { grant } = await open()
    await relay.tunnel()
    const once_ = await grant()
    await (await openExec(once_, { argv: ['true'] }, signal)).exit
    await expect(openExec(once_, { argv: ['true'] }, signal)).rejects.toMatchObject({
      reason: 'unauthenticated',
      code: 'entrance-token-used',
    })
  })

  test('an abort through the relay kills the command', async () => {
    const { grant } = await open()
    await relay.tunnel()
    const stop = new AbortController()
    const stream = await openExec(await grant(), { argv: ['sleep', '1000'] }, stop.signal)
    stop.abort()
    expect(await stream.exit).toEqual({ signal: 'SIGKILL' })
  })

  test('a broken tunnel is made again; entrances that came through it go on', async ({ signal }) => {
    const { grant } = await open()
    const first = await relay.tunnel()
    const stream = await openExec(await grant(), { argv: ['cat'] }, signal)
    first.terminate()
    await once(first, 'close')
    const second = await relay.tunnel()
    expect(second).not.toBe(first)
    const other = await openExec(await grant(), { argv: ['true'] }, signal)
    expect(await other.exit).toEqual({ code: 0 })
    stream.stdin.end('still here')
    expect((await buffer(stream.stdout)).toString()).toBe('still here')
  })

  test('what the server asks that is no dial is ignored', async ({ signal }) => {
    const { grant } = await open()
    const tunnel = await relay.tunnel()
    for (const odd of ['', '{}', '[]', 'null', '{"dial":1}', '{"dial":"../x"}', '{"dial":""}'])
      tunnel.send(odd)
    tunnel.send(Buffer.from('{"dial":"binary"}'))
    const stream = await openExec(await grant(), { argv: ['true'] }, signal)
    expect(await stream.exit).toEqual({ code: 0 })
    expect(relay.credentials).toHaveLength(2)
  })
})
