// The relay with a runner made of plain sockets, which echoes what it gets.
import { once } from 'node:events'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { type ServerFixture, startServer, type TestRunner } from '../../../test/support/server.ts'
import { type Clock, systemClock } from '../../lib/clock.ts'

// Time-outs of ten seconds pass in a blink, as soon as somebody waits for them.
let impatient = false
const clock: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(impatient && ms === 10_000 ? 50 : ms, signal),
}
let server: ServerFixture
let runner: TestRunner
beforeAll(async () => {
  server = await startServer({ clock })
  runner = await server.addRunner('here')
})
afterAll(() => server.close())

const ENVIRONMENT = '01890a5d-ac96-774b-bcce-b302099a8058'
const entrance = (uid: string, kind = 'exec') => `/relay/${uid}/entrance/${ENVIRONMENT}/${kind}`
const uidOf = (of: TestRunner) => of.resource.metadata.uid
const grant = (act: 'exec' | 'logs' = 'exec', uid = uidOf(runner)) =>
  server.pki.signEntrance({ aud: `runner:${uid}`, sub: 'user:ada', env: ENVIRONMENT, act })

async function openTunnel(of: TestRunner): Promise<WebSocket> {
  const tunnel = new WebSocket(
    `${server.url().replace('https', 'wss')}/runner/tunnel`,
    'v1.tunnel.bothy.dev',
    {
      ca: server.pki.ca,
      headers: { authorization: `Bearer ${await of.token()}` },
    },
  )
  await once(tunnel, 'open')
  return tunnel
}

/** The id that the next client's connection is announced with. */
async function nextDial(tunnel: WebSocket): Promise<string> {
  const [message] = await once(tunnel, 'message')
  return JSON.parse(String(message)).dial
}

async function openSocket(head: string[]): Promise<TLSSocket> {
  const { hostname, port } = new URL(server.url())
  const options = { host: hostname, port: Number(port), ca: server.pki.ca, allowHalfOpen: true }
  const socket = connect(options as ConnectionOptions)
  socket.on('error', () => undefined)
  await once(socket, 'secureConnect')
  socket.write(`${head.join('\r\n')}\r\n\r\n`)
  return socket
}

/** Reads until `end` has been seen, and returns everything up to and including it. */
async function readUntil(socket: TLSSocket, end: string): Promise<string> {
  let seen = ''
  while (!seen.includes(end)) {
    const chunk = socket.read()
    if (chunk === null) await once(socket, 'readable')
    else seen += String(chunk)
  }
  const at = seen.indexOf(end) + end.length
  if (at < seen.length) socket.unshift(Buffer.from(seen.slice(at)))
  return seen.slice(0, at)
}

const dialBack = async (id: string, of: TestRunner) =>
  openSocket([
    `GET /runner/tunnel/${id} HTTP/1.1`,
    'Host: server',
    'Connection: Upgrade',
    'Upgrade: bothy-relay',
    `Authorization: Bearer ${await of.token()}`,
  ])

const knock = (token: string, path = entrance(uidOf(runner))) =>
  openSocket([
    `GET ${path} HTTP/1.1`,
    'Host: server',
    'Connection: Upgrade, keep-alive',
    'Upgrade: websocket',
    `Authorization: Bearer ${token}`,
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Protocol: v1.entrance.bothy.dev',
    'X-Forwarded-For: 192.0.2.1',
    'Cookie: secret',
  ])

/** Resolves when the server has let go of it altogether: half a connection would take what is written for ever. */
function closed(socket: TLSSocket): Promise<void> {
  return new Promise(resolve => {
    const probe = () => {
      if (socket.closed || socket.writableEnded) return
      socket.write('still there?')
      setImmediate(probe)
    }
    if (socket.closed) return resolve()
    socket.resume().once('close', () => resolve())
    if (socket.readableEnded) probe()
    else socket.once('end', probe)
  })
}

/** A client and the runner's end of its relayed connection, past the handshake head. */
async function pair(tunnel: WebSocket): Promise<{ client: TLSSocket; far: TLSSocket; head: string }> {
  const announced = nextDial(tunnel)
  const client = await knock(await grant())
  const far = await dialBack(await announced, runner)
  expect(await readUntil(far, '\r\n\r\n')).toContain('101 Switching Protocols')
  return { client, far, head: await readUntil(far, '\r\n\r\n') }
}

describe('a relayed connection', () => {
  test("hands the runner the client's handshake, rebuilt, and then bytes both ways", async () => {
    const tunnel = await openTunnel(runner)
    const { client, far, head } = await pair(tunnel)
    expect(head).toMatch(new RegExp(`^GET /entrance/${ENVIRONMENT}/exec HTTP/1.1\r\n`))
    expect(head).toContain('Upgrade: websocket\r\n')
    expect(head.toLowerCase()).toContain('sec-websocket-key: aaaaaaaaaaaaaaaaaaaaaa==\r\n')
    expect(head.toLowerCase()).toContain('authorization: bearer ')
    expect(head.toLowerCase()).not.toMatch(/forwarded|cookie|keep-alive/)
    far.write('HTTP/1.1 101 Switching Protocols\r\n\r\n')
    expect(await readUntil(client, '\r\n\r\n')).toContain('101')
    client.write('ping')
    expect(await readUntil(far, 'ping')).toBe('ping')
    far.write('pong')
    expect(await readUntil(client, 'pong')).toBe('pong')
    client.destroy()
    await closed(far)
    tunnel.close()
  })

  test('carries megabytes whole and lets a slow reader slow the writer down', async () => {
    const tunnel = await openTunnel(runner)
    const { client, far } = await pair(tunnel)
    far.pause()
    const megabyte = Buffer.alloc(1 << 20, 'abcdefg')
    let taken = 0
    for (let n = 0; n < 64; n++) client.write(megabyte, () => taken++)
    client.end()
    // Nobody reads at the far end. Meanwhile another connection is as quick as ever, long enough to see the first stall.
    const other = await pair(tunnel)
    for (let n = 0; n < 200; n++) {
      other.client.write('ping')
      await readUntil(other.far, 'ping')
    }
    expect(taken).toBeLessThan(48)
    const received: Buffer[] = []
    far.on('data', (chunk: Buffer) => received.push(chunk)).resume()
    await once(far, 'end')
    expect(Buffer.concat(received).equals(Buffer.concat(Array(64).fill(megabyte)))).toBe(true)
    await Promise.all([closed(client), closed(far)])
    other.client.destroy()
    await closed(other.far)
    tunnel.close()
  })

  test("ends when the runner's side breaks", async () => {
    const tunnel = await openTunnel(runner)
    const { client, far } = await pair(tunnel)
    far.destroy()
    await closed(client)
    tunnel.close()
  })

  test("a WebSocket client sees the gateway's own answer", async () => {
    const tunnel = await openTunnel(runner)
    const announced = nextDial(tunnel)
    const client = new WebSocket(`${server.url().replace('https', 'wss')}${entrance(uidOf(runner))}`, {
      ca: server.pki.ca,
      headers: { authorization: `Bearer ${await grant()}` },
    })
    const far = await dialBack(await announced, runner)
    await readUntil(far, '\r\n\r\n')
    await readUntil(far, '\r\n\r\n')
    const refused = once(client, 'unexpected-response')
    client.on('error', () => undefined)
    far.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
    const [, response] = await refused
    expect(response.statusCode).toBe(401)
    client.terminate()
    tunnel.close()
  })
})

describe('refusals', () => {
  const answer = async (socket: TLSSocket): Promise<{ code: number; bothy: string }> => {
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    const body = JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4))
    return { code: Number(/^HTTP\/1.1 (\d+)/.exec(text)?.[1]), bothy: body.details.bothy.code }
  }

  test('without a tunnel: 503', async () => {
    expect(await answer(await knock(await grant()))).toEqual({ code: 503, bothy: 'runner-not-connected' })
  })

  test('a runner that does not dial back in time: 504', async () => {
    const tunnel = await openTunnel(runner)
    impatient = true
    const announced = nextDial(tunnel)
    expect(await answer(await knock(await grant()))).toEqual({ code: 504, bothy: 'dial-back-late' })
    impatient = false
    // Too late now: nobody waits for it.
    expect((await answer(await dialBack(await announced, runner))).code).toBe(404)
    tunnel.close()
  })

  test("a token for another runner, entrance or environment, and a runner's claim to another's connection", async () => {
    const other = await server.addRunner('there')
    const tunnel = await openTunnel(runner)
    const wrongRunner = await knock(await grant('exec', uidOf(other)))
    expect(await answer(wrongRunner)).toEqual({ code: 401, bothy: 'entrance-token-refused' })
    const wrongKind = await knock(await grant('logs'))
    expect(await answer(wrongKind)).toEqual({ code: 403, bothy: 'entrance-not-granted' })
    expect((await answer(await knock(server.tokens.ada))).code).toBe(401)
    expect((await answer(await knock(await grant(), '/relay/x/entrance/y/exec'))).code).toBe(404)

    const announced = nextDial(tunnel)
    const client = await knock(await grant())
    const id = await announced
    expect((await answer(await dialBack(id, other))).code).toBe(404)
    const far = await dialBack(id, runner)
    expect(await readUntil(far, '\r\n\r\n')).toContain('101')
    client.destroy()
    await closed(far)
    tunnel.close()
  })

  test('only runners hold tunnels', async () => {
    const socket = new WebSocket(
      `${server.url().replace('https', 'wss')}/runner/tunnel`,
      'v1.tunnel.bothy.dev',
      {
        ca: server.pki.ca,
        headers: { authorization: `Bearer ${server.tokens.admin}` },
      },
    )
    const [, response] = await once(socket, 'unexpected-response')
    expect(response.statusCode).toBe(403)
    socket.on('error', () => undefined)
    socket.terminate()
  })

  test('a second tunnel of a runner takes the place of the first', async () => {
    const first = await openTunnel(runner)
    const replaced = once(first, 'close')
    const second = await openTunnel(runner)
    expect((await replaced)[0]).toBe(4000)
    const { client, far } = await pair(second)
    client.destroy()
    await closed(far)
    second.close()
  })

  test('closing the server ends tunnels and relayed connections', async () => {
    const tunnel = await openTunnel(runner)
    const { client, far } = await pair(tunnel)
    const ended = Promise.all([closed(client), closed(far), once(tunnel, 'close')])
    await server.restart()
    await ended
  })
})
