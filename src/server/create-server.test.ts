import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { json } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pathOf, type ServerFixture, startServer } from '../../test/support/server.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { advertisedHost, certificateHosts, httpsUrl, reservedHosts } from './addresses.ts'
import { createServer } from './create-server.ts'

let server: ServerFixture
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

test('what is public needs no token, everything else does', async () => {
  expect((await server.call('GET', '/ca.pem')).text).toBe(server.pki.ca)
  expect((await server.call('GET', '/.well-known/jwks.json')).body).toEqual(server.pki.jwks)
  expect((await server.call('GET', '/healthz')).text).toBe('ok')
  expect((await server.call('GET', '/readyz')).text).toBe('ok')
  expect((await server.call('GET', '/version')).body).toMatchObject({
    gitVersion: 'v1.33.0+bothy',
    bothyVersion: '0.0.0-test',
  })
  for (const path of ['/', '/apis', '/whoami', '/openapi/v3', pathOf('environments'), '/runner/lease'])
    expect((await server.call('GET', path)).status, path).toBe(401)
})

test('who sends too much hears so, and may send on', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const ask = (method: string, size: number) => {
    const headers = {
      authorization: `Bearer ${server.tokens.ada}`,
      'content-type': 'application/json',
      'content-length': size,
    }
    const url = new URL(pathOf('environments'), server.url())
    return request(url, { method, agent, ca: server.pki.ca, headers })
  }
  const piece = Buffer.alloc(1 << 20, 'x')
  const large = ask('POST', 4 * piece.length)
  large.write(piece)
  const [refused] = (await once(large, 'response')) as [IncomingMessage]
  expect(refused.statusCode).toBe(413)
  expect(await json(refused)).toMatchObject({ reason: 'RequestEntityTooLarge' })
  // Said while most of it is still to come; all of which is taken, and the connection is as good as before.
  for (let sent = 1; sent < 4; sent++) large.write(piece)
  large.end()
  await once(large, 'close')
  const next = ask('GET', 0)
  next.end()
  const [answer] = (await once(next, 'response')) as [IncomingMessage]
  expect(answer.statusCode).toBe(200)
  expect(next.reusedSocket).toBe(true)
  answer.resume()
  await once(answer, 'end')
  agent.destroy()
})

test('speaks TLS only, HTTP/1.1 only, and nothing older than TLS 1.2', async () => {
  const { hostname, port } = new URL(server.url())
  const plain = connect(Number(port), hostname)
  plain.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
  plain.on('error', () => undefined)
  let said = ''
  plain.on('data', chunk => {
    said += String(chunk)
  })
  await new Promise(resolve => plain.once('close', resolve))
  expect(said).not.toContain('HTTP/1.1 200')

  const target = { host: hostname, port: Number(port), ca: server.pki.ca }
  const modern = connectTls({ ...target, ALPNProtocols: ['h2', 'http/1.1'] })
  await once(modern, 'secureConnect')
  expect(modern.alpnProtocol).toBe('http/1.1')
  expect(modern.authorized).toBe(true)
  modern.destroy()
  const old = connectTls({ ...target, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' })
  await expect(once(old, 'secureConnect')).rejects.toThrow(/protocol|version|alert|unsupported/i)
})

test('a port that is taken is a fault with a hint, and the next one works', async () => {
  const { database, pki } = server
  const { store, credentials, leases, usage, counts } = database
  const squatter = createTcpServer().listen(0, '127.0.0.1')
  await once(squatter, 'listening')
  const { port } = squatter.address() as AddressInfo
  const next = createServer({
    store,
    credentials,
    leases,
    usage,
    counts,
    pki,
    clock: systemClock,
    log: silentLog,
    version: 'x',
  })
  await expect(next.listen({ host: '127.0.0.1', port })).rejects.toMatchObject({
    code: 'port-taken',
    reason: 'unavailable',
    hint: expect.stringContaining('--listen'),
  })
  const { url } = await next.listen({ host: '127.0.0.1', port: 0 })
  expect(url).toMatch(/^https:\/\/127\.0\.0\.1:[0-9]+$/)
  await next.close()
  squatter.close()
})

test('a malformed request harms nobody', async () => {
  const { hostname, port } = new URL(server.url())
  for (const text of ['garbage\r\n\r\n', `GET /${'a'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`]) {
    const socket = connectTls({ host: hostname, port: Number(port), ca: server.pki.ca })
    socket.on('error', () => undefined)
    socket.write(text)
    await new Promise(resolve => socket.resume().once('close', resolve))
  }
  expect((await server.call('GET', '/healthz')).status).toBe(200)
  const odd = await server.call('GET', '/apis/%E0%A4%A', { token: server.tokens.ada })
  expect(odd.status).toBe(400)
})

test('what goes wrong inside is logged in full and told by its attempt id only', async () => {
  const { call, tokens, database } = server
  const broken = createServer({
    ...database,
    store: { ...database.store, list: () => Promise.reject(new Error('password of the database')) },
    pki: server.pki,
    clock: systemClock,
    log: silentLog,
    version: 'x',
  })
  const { url } = await broken.listen({ host: '127.0.0.1', port: 0 })
  const answer = await call('GET', `${url}${pathOf('environments')}`, { token: tokens.ada })
  expect(answer.status).toBe(500)
  expect(answer.text).not.toContain('password')
  expect(answer.body.message).toContain(answer.headers['audit-id'])
  await broken.close()
})

describe('addresses', () => {
  const address = (text: string, internal = false, family = 'IPv4') =>
    ({ address: text, internal, family, netmask: '', mac: '', cidr: null }) as never
  const interfaces = {
    lo: [address('127.0.0.1', true), address('::1', true, 'IPv6')],
    eth0: [address('fe80::1', false, 'IPv6'), address('2001:db8::7', false, 'IPv6'), address('192.0.2.7')],
  }
  const own = ['localhost', '127.0.0.1', '::1', 'box']

  test.each([
    ['127.0.0.1', own, '127.0.0.1'],
    ['192.0.2.7', [...own, '192.0.2.7'], '192.0.2.7'],
    ['0.0.0.0', [...own, '2001:db8::7', '192.0.2.7'], '192.0.2.7'],
    ['::', [...own, '2001:db8::7', '192.0.2.7'], '192.0.2.7'],
  ])('listening on %s', (host, hosts, advertised) => {
    const listening = { host, hostname: 'Box', interfaces }
    expect(certificateHosts(listening)).toEqual(hosts)
    expect(advertisedHost(listening)).toBe(advertised)
  })

  test('URLs and what runners elsewhere may not be called', () => {
    expect(httpsUrl('::1', 7)).toBe('https://[::1]:7')
    expect(reservedHosts([...own, '192.0.2.7'], '198.51.100.1')).toEqual(['box', '192.0.2.7'])
    for (const near of ['127.0.0.1', '::1', '::ffff:127.0.0.1', '192.0.2.7'])
      expect(reservedHosts([...own, '192.0.2.7'], near)).toEqual([])
  })
})
