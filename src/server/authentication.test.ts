import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pathOf, type ServerFixture, startServer, type TestRunner } from '../../test/support/server.ts'
import type { Clock } from '../lib/clock.ts'
import { systemClock } from '../lib/clock.ts'

// Failures are counted by the clock: each test moves on far enough to be forgiven what the one before did.
let aheadMs = 0
const clock: Clock = { ...systemClock, now: () => Date.now() + aheadMs }
const forgive = () => {
  aheadMs += 3_600_000
}

let server: ServerFixture
let runner: TestRunner
beforeAll(async () => {
  server = await startServer({ clock })
  runner = await server.addRunner('here')
})
afterAll(() => server.close())

const whoami = (token?: string, headers = {}) => server.call('GET', '/whoami', { token, headers })

describe('users', () => {
  test('are who their token says', async () => {
    const { body } = await whoami(server.tokens.ada)
    expect(body).toEqual({ kind: 'user', name: 'ada', role: 'member' })
  })

  test('without a token, with an unknown or a malformed one, nobody is anybody', async () => {
    forgive()
    const unknown = `bothy_${randomBytes(32).toString('base64url')}`
    for (const token of [
      undefined,
      unknown,
      'bothy_short',
      'x'.repeat(8192),
      server.tokens.ada.slice(0, -1),
    ]) {
      const answer = await whoami(token)
      expect(answer.status).toBe(401)
      expect(answer.body).toMatchObject({ kind: 'Status', reason: 'Unauthorized' })
      expect(answer.headers['www-authenticate']).toContain('Bearer')
    }
    const basic = await whoami(undefined, { authorization: 'Basic YWRhOmFkYQ==' })
    expect(basic.body.details.bothy.code).toBe('token-malformed')
  })

  test('acting as somebody else is refused, not ignored', async () => {
    for (const header of ['impersonate-user', 'impersonate-group', 'impersonate-extra-x']) {
      const answer = await whoami(server.tokens.admin, { [header]: 'ada' })
      expect(answer.status).toBe(403)
      expect(answer.body.message).toContain(header)
    }
  })

  test('a forwarded address is not believed: failures count for the connection', async () => {
    forgive()
    const seen = new Set<number>()
    for (let n = 0; n < 30; n++)
      seen.add((await whoami('bothy_wrong', { 'x-forwarded-for': `198.51.100.${n}` })).status)
    expect([...seen]).toEqual([401, 429])
  })

  test('after many failures an address is not listened to, except who was known, until time has passed', async () => {
    forgive()
    await whoami(server.tokens.ada)
    const newcomer = await server.addUser('new', 'viewer')
    for (let n = 0; n < 25; n++) await whoami('bothy_wrong')
    const refused = await whoami(newcomer)
    expect(refused.status).toBe(429)
    expect(refused.body).toMatchObject({ reason: 'TooManyRequests', details: expect.anything() })
    // Clients that were told when would ask again with the same token, again and again.
    expect(refused.body.details.retryAfterSeconds).toBeUndefined()
    expect(refused.headers['retry-after']).toBeUndefined()
    expect((await whoami(server.tokens.ada)).status).toBe(200)
    forgive()
    expect((await whoami(newcomer)).status).toBe(200)
  })
})

describe('runners', () => {
  const status = async (token: string) => (await whoami(token)).status
  const nowS = () => Math.floor(clock.now() / 1000)

  test('are who signed the token', async () => {
    forgive()
    const { body } = await whoami(await runner.token())
    const { uid } = runner.resource.metadata
    expect(body).toEqual({ kind: 'runner', uid, namespace: 'default', name: 'here' })
  })

  test('an expired, a long-lived, a future, a foreign or a misdirected token is refused', async () => {
    forgive()
    const other = await server.addRunner('other')
    const wrong = [
      await runner.token({ iat: nowS() - 400, exp: nowS() - 100 }),
      await runner.token({ exp: nowS() + 3600 }),
      await runner.token({ iat: nowS() + 120, exp: nowS() + 300 }),
      await runner.token({ aud: 'somebody-else' }),
      await runner.token({ iss: `runner:${other.resource.metadata.uid}` }),
      await runner.token({ iss: 'runner:00000000-0000-7000-8000-000000000000' }),
      await runner.token({ iss: 'user:root' }),
    ]
    for (const token of wrong) expect(await status(token)).toBe(401)
    expect(await status(await runner.token())).toBe(200)
  })

  test('a forged or unsigned token is refused', async () => {
    forgive()
    const iss = `runner:${runner.resource.metadata.uid}`
    const { privateKey } = generateKeyPairSync('ed25519')
    const claims = (jwt: SignJWT | UnsecuredJWT) =>
      jwt
        .setIssuer(iss)
        .setAudience('bothy-server')
        .setIssuedAt(nowS())
        .setExpirationTime(nowS() + 60)
    const forged = await (claims(new SignJWT({})) as SignJWT)
      .setProtectedHeader({ alg: 'EdDSA' })
      .sign(privateKey)
    const symmetric = await (claims(new SignJWT({})) as SignJWT)
      .setProtectedHeader({ alg: 'HS256' })
      .sign(randomBytes(32))
    const unsigned = (claims(new UnsecuredJWT({})) as UnsecuredJWT).encode()
    for (const token of [forged, symmetric, unsigned]) expect(await status(token)).toBe(401)
  })

  test('a token that was believed once is believed until it expires, and no longer than its key', async () => {
    forgive()
    const brief = await server.addRunner('once')
    const token = await brief.token({ exp: nowS() + 100 })
    for (let n = 0; n < 3; n++) expect(await status(token)).toBe(200)
    aheadMs += 131_000
    expect(await status(token)).toBe(401)

    const next = await brief.token()
    expect(await status(next)).toBe(200)
    await server.database.credentials.revokeRunner(brief.resource.metadata.uid)
    expect(await status(next)).toBe(401)
  })

  test('a token whose end is changed is no longer the one that was believed', async () => {
    forgive()
    const token = await runner.token()
    expect(await status(token)).toBe(200)
    const [head, payload, signature] = token.split('.') as [string, string, string]
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
    const later = Buffer.from(JSON.stringify({ ...claims, exp: claims.exp + 1 })).toString('base64url')
    expect(await status([head, later, signature].join('.'))).toBe(401)
  })

  test('a runner whose object is gone, or was revoked, is nobody', async () => {
    forgive()
    const brief = await server.addRunner('brief')
    expect(await status(await brief.token())).toBe(200)
    await server.call('DELETE', pathOf('runners', 'brief'), { token: server.tokens.admin })
    expect(await status(await brief.token())).toBe(401)
    await server.addRunner('brief')
    expect(await status(await brief.token())).toBe(401)

    const revoked = await server.addRunner('revoked')
    await server.database.credentials.revokeRunner(revoked.resource.metadata.uid)
    expect(await status(await revoked.token())).toBe(401)
  })

  test('an entrance token opens no door here', async () => {
    forgive()
    const aud = `runner:${runner.resource.metadata.uid}`
    const token = await server.pki.signEntrance({ aud, sub: 'user:ada', env: 'x', act: 'exec' })
    expect(await status(token)).toBe(401)
  })
})
