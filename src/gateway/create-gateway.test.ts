import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:tls'
import { exportJWK, generateKeyPair, importJWK, type JWK, SignJWT } from 'jose'
import { afterEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import {
  childExec,
  type GatewayFixture,
  type GatewayFixtureOptions,
  openGateway,
} from '../../test/support/gateway.ts'
import { entrancePath, SUBPROTOCOL } from '../api/entrance.ts'
import { openExec } from '../client/open-exec.ts'
import type { Exec, Exit } from '../core/exec.ts'
import { systemClock } from '../lib/clock.ts'
import { uuidv7 } from '../lib/ids.ts'
import { createManualClock } from '../lib/manual-clock.ts'
import { createGateway } from './create-gateway.ts'

let fixture: GatewayFixture
const open = async (options: GatewayFixtureOptions = {}) => {
  fixture = await openGateway(options)
  return fixture
}
afterEach(() => fixture.close())

/** What is answered to a handshake, as far as its status line, and the code in the body. */
async function knock(lines: readonly string[]): Promise<{ status: number; code: string | undefined }> {
  const { port } = new URL(fixture.url)
  const socket = connect({ host: '127.0.0.1', port: Number(port), ca: fixture.pki.ca })
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  let answer = ''
  // Who is let in has an open connection; who is not sees it end.
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    answer += chunk.toString()
    if (answer.startsWith('HTTP/1.1 101') && answer.includes('\r\n\r\n')) break
  }
  return {
    status: Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0),
    code: /"code":"([a-z-]+)"/.exec(answer)?.[1],
  }
}

const handshake = (path: string, token: string, more: readonly string[] = []): readonly string[] => [
  `GET ${path} HTTP/1.1`,
  'Host: gateway',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
  `Sec-WebSocket-Protocol: ${SUBPROTOCOL}`,
  `Authorization: Bearer ${token}`,
  ...more,
]

describe('paths', () => {
  test.each([
    ['two slashes', (p: string) => `/${p}`],
    ['two slashes inside', (p: string) => p.replace('/exec', '//exec')],
    ['an encoded slash', (p: string) => p.replace('/exec', '%2fexec')],
    ['an encoded letter', (p: string) => p.replace('/exec', '/%65xec')],
    [
      'an upper-case uid',
      (p: string) => p.toUpperCase().replace('/ENTRANCE', '/entrance').replace('EXEC', 'exec'),
    ],
    ['an upper-case kind', (p: string) => p.replace('exec', 'EXEC')],
    ['dot segments', (p: string) => p.replace('/exec', '/x/../exec')],
    ['a dot segment', (p: string) => p.replace('/exec', '/./exec')],
    ['a trailing slash', (p: string) => `${p}/`],
    ['a query', (p: string) => `${p}?a=b`],
    ['a fragment', (p: string) => `${p}#a`],
    ['a parameter', (p: string) => `${p};a`],
    ['a backslash', (p: string) => p.replace('/exec', '\\exec')],
    ['another kind', (p: string) => p.replace('/exec', '/ports')],
    ['something inherited', (p: string) => p.replace('/exec', '/toString')],
    ['the absolute form', (p: string) => `https://gateway${p}`],
    ['the relay prefix', (p: string) => `/relay/${uuidv7()}${p}`],
    ['no path', () => '/'],
  ])('%s is refused, the token unused', async (_, change) => {
    const { grant, environmentUid } = await open()
    const { token } = await grant('exec')
    const path = entrancePath('exec', environmentUid)
    expect(await knock(handshake(change(path), token))).toEqual({
      status: 404,
      code: 'entrance-path-unknown',
    })
    expect((await knock(handshake(path, token))).status).toBe(101)
  })

  test('what is not a path at all is refused by the parser', async () => {
    const { grant, environmentUid } = await open()
    const { token } = await grant('exec')
    const path = entrancePath('exec', environmentUid)
    for (const odd of [`${path} x`, `${path}\0`, '*', 'gateway:443']) {
      expect((await knock(handshake(odd, token))).status, odd).toBeOneOf([400, 404])
    }
  })
})

describe('headers', () => {
  test.each([
    ['a second Host', ['Host: other'], 400],
    ['a second Authorization', ['Authorization: Bearer a.b.c'], 400],
    ['a second protocol', ['Sec-WebSocket-Protocol: chat'], 400],
    ['an Origin', ['Origin: https://evil.example.com'], 403],
    ['an empty Origin', ['Origin:'], 403],
  ])('%s is refused', async (_, more, status) => {
    const { grant, environmentUid } = await open()
    const { token } = await grant('exec')
    const path = entrancePath('exec', environmentUid)
    expect((await knock(handshake(path, token, more))).status).toBe(status)
  })

  test('without a token, with another scheme, another method or another protocol nobody enters', async () => {
    const { grant, environmentUid } = await open()
    const { token } = await grant('exec')
    const good = handshake(entrancePath('exec', environmentUid), token)
    const without = (start: string, instead: string) =>
      good.map(line => (line.startsWith(start) ? instead : line))
    expect(await knock(without('Authorization', 'X: y'))).toEqual({
      status: 401,
      code: 'entrance-token-missing',
    })
    expect((await knock(without('Authorization', `Authorization: Basic ${token}`))).status).toBe(401)
    expect(
      (await knock(without('Authorization', `Authorization: Bearer ${'a'.repeat(9000)}.b.c`))).status,
    ).toBe(401)
    expect((await knock(without('GET', good[0]!.replace('GET', 'POST')))).status).toBe(404)
    expect((await knock(without('Sec-WebSocket-Protocol', 'X: y'))).status).toBe(400)
    expect((await knock(without('Upgrade', 'Upgrade: h2c'))).status).toBe(400)
    expect(
      (await knock(without('Connection', 'Connection: close').filter(line => !line.startsWith('Upgrade'))))
        .status,
    ).toBe(404)
  })
})

describe('tokens', () => {
  const setUp = async (options: GatewayFixtureOptions = {}) => {
    const { runnerUid, environmentUid } = await open(options)
    const claims = {
      aud: `runner:${runnerUid}`,
      sub: 'user:ada',
      env: environmentUid,
      act: 'exec',
      jti: uuidv7(),
    }
    const pair = await generateKeyPair('EdDSA', { extractable: true })
    const path = entrancePath('exec', environmentUid)
    const sign = (
      changed: object,
      header: object = {},
      key: Parameters<SignJWT['sign']>[0] = pair.privateKey,
    ) => {
      const now = Math.floor(Date.now() / 1000)
      return new SignJWT({ ...claims, iat: now, exp: now + 60, ...changed })
        .setProtectedHeader({ alg: 'EdDSA', kid: 'mine', ...header })
        .sign(key)
    }
    const keys: JWK[] = [{ ...(await exportJWK(pair.publicKey)), kid: 'mine' }]
    return { claims, sign, keys, path, pair, runnerUid }
  }

  /** A gateway with keys of our own, on the same fixture's address book. */
  const judge = async (keys: readonly JWK[], runnerUid: string) => {
    const certificate = await fixture.pki.serverCertificate(['127.0.0.1'])
    const refusals: unknown[] = []
    const log = {
      warn: (fields: unknown) => refusals.push(fields),
      info: () => undefined,
      error: () => undefined,
    }
    const gateway = createGateway({
      runnerUid,
      keys: () => keys,
      backend: {
        exec: async () => Promise.reject(new Error('none')),
        receiveContent: async () => undefined,
        logs: async () => Promise.reject(new Error('none')),
      },
      log: log as never,
      clock: systemClock,
    })
    const { url } = await gateway.listen({ host: '127.0.0.1', port: 0, ...certificate })
    const before = fixture
    fixture = {
      ...before,
      url,
      close: () => Promise.all([gateway.close(), before.close()]).then(() => undefined),
    }
    return refusals
  }

  test('only a good one is let in, and only once', async () => {
    const { sign, keys, path, runnerUid, environmentUid } = {
      ...(await setUp()),
      environmentUid: fixture.environmentUid,
    }
    const refusals = await judge(keys, runnerUid)
    const now = Math.floor(Date.now() / 1000)
    const stranger = await generateKeyPair('EdDSA', { extractable: true })
    const hmac = new TextEncoder().encode(keys[0]!.x!)
    const none = (await sign({}))
      .split('.')
      .with(0, Buffer.from('{"alg":"none","kid":"mine"}').toString('base64url'))
    const good = await sign({})
    const cases: readonly (readonly [string, string, number])[] = [
      ['signed by a stranger', await sign({}, {}, stranger.privateKey), 401],
      ['under an unknown name', await sign({}, { kid: 'other' }), 401],
      ['under no name', await sign({}, { kid: undefined }), 401],
      ['HMAC with the public key', await sign({}, { alg: 'HS256' }, hmac), 401],
      ['alg none', none.join('.'), 401],
      ['without signature', `${good.split('.').slice(0, 2).join('.')}.`, 401],
      ['changed', good.replace(/\.(.)/, (_, c: string) => `.${c === 'e' ? 'f' : 'e'}`), 401],
      ['expired', await sign({ iat: now - 70, exp: now - 6 }), 401],
      ['too long-lived', await sign({ exp: now + 3600 }), 401],
      ['without expiry', await sign({ exp: undefined }), 401],
      ['without id', await sign({ jti: undefined }), 401],
      ['issued before this gateway began', await sign({ iat: now - 30, exp: now + 30 }), 401],
      ['not yet valid', await sign({ nbf: now + 30 }), 401],
      ['for another runner', await sign({ aud: `runner:${uuidv7()}` }), 401],
      ['for several runners', await sign({ aud: [`runner:${runnerUid}`, 'runner:x'] }), 401],
      ['for the server', await sign({ aud: 'bothy-server' }), 401],
      ['for another environment', await sign({ env: uuidv7() }), 403],
      ['for another entrance', await sign({ act: 'logs' }), 403],
    ]
    for (const [what, token, status] of cases) {
      expect((await knock(handshake(path, token))).status, what).toBe(status)
    }
    expect((await knock(handshake(path, good))).status).toBe(101)
    expect(await knock(handshake(path, good))).toEqual({ status: 401, code: 'entrance-token-used' })
    // Logged with the reason, and never with the token.
    expect(refusals).toHaveLength(cases.length + 1)
    const logged = JSON.stringify(refusals)
    for (const [, token] of cases) expect(logged).not.toContain(token.split('.')[1])
    expect(logged).toContain('entrance-token-for-other-runner')
    expect(logged).not.toContain(environmentUid)
  })

  test('a key of another type under the same name proves nothing', async () => {
    const { sign, keys, path, runnerUid } = await setUp()
    const ec = await generateKeyPair('ES256', { extractable: true })
    await judge([{ ...(await exportJWK(ec.publicKey)), kid: 'mine' }, ...keys], runnerUid)
    const forged = await sign({}, { alg: 'ES256' }, ec.privateKey)
    expect((await knock(handshake(path, forged))).status).toBe(401)
    expect((await knock(handshake(path, await sign({})))).status).toBe(101)
    expect(await importJWK(keys[0]!, 'EdDSA')).toBeDefined()
  })

  test('keys are asked for each time: a rotation needs no restart', async () => {
    const { sign, keys, path, runnerUid } = await setUp()
    const current: JWK[] = []
    await judge(current, runnerUid)
    expect((await knock(handshake(path, await sign({})))).status).toBe(401)
    current.push(...keys)
    expect((await knock(handshake(path, await sign({})))).status).toBe(101)
  })
})

test('who knocks wrongly again and again is no longer answered; a good token still enters', async ({
  signal,
}) => {
  const { grant, environmentUid } = await open()
  const path = entrancePath('exec', environmentUid)
  const answers: number[] = []
  for (let i = 0; i < 25; i++) answers.push((await knock(handshake(path, 'a.b.c'))).status)
  expect(answers.slice(0, 15)).toEqual(Array(15).fill(401))
  expect(answers.slice(-3)).toEqual([0, 0, 0])
  const stream = await openExec(await grant('exec'), { argv: ['true'] }, signal)
  expect(await stream.exit).toEqual({ code: 0 })
})

test('a client that shows no sign of life for a minute is gone, and its command with it', async () => {
  const clock = createManualClock(Date.now())
  const started = Promise.withResolvers<Exec>()
  const { grant } = await open({ clock, backend: { exec: () => started.promise } })
  const { urls, token, ca } = await grant('exec')
  const headers = { authorization: `Bearer ${token}` }
  const socket = new WebSocket(urls[0]!, [SUBPROTOCOL], { ca, headers, autoPong: false })
  const exit = Promise.withResolvers<Exit>()
  started.resolve(async (request, signal) => {
    const stream = await childExec(request, signal)
    void stream.exit.then(exit.resolve)
    return stream
  })
  const pings: number[] = []
  socket.on('ping', () => pings.push(clock.now()))
  await once(socket, 'open')
  socket.send(JSON.stringify({ argv: ['sleep', '1000'] }))
  await once(socket, 'message')
  const closed = once(socket, 'close')
  while (socket.readyState === socket.OPEN) await clock.advance(5_000)
  await closed
  expect(pings).toHaveLength(2)
  expect(await exit.promise).toEqual({ signal: 'SIGKILL' })
})

test('a renewed certificate is served from the next connection on', async () => {
  const { gateway, pki } = await open()
  const other = await openGateway()
  try {
    gateway.renew(await other.pki.serverCertificate(['127.0.0.1']))
    const path = '/'
    await expect(knock(handshake(path, 'a.b.c'))).rejects.toMatchObject({
      code: expect.stringMatching(/CERT|SIGNATURE/),
    })
    gateway.renew(await pki.serverCertificate(['127.0.0.1']))
    expect((await knock(handshake(path, 'a.b.c'))).status).toBe(404)
  } finally {
    await other.close()
  }
})
