import '../lib/reflect-metadata.ts'
import { createHash, generateKeyPairSync, type KeyObject, webcrypto, X509Certificate } from 'node:crypto'
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509'
import { CompactSign, SignJWT } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Json, pathOf, type ServerFixture, startServer } from '../../test/support/server.ts'
import { systemClock } from '../lib/clock.ts'

let aheadMs = 0
const clock = { ...systemClock, now: () => Date.now() + aheadMs }
let server: ServerFixture
beforeAll(async () => {
  server = await startServer({ clock })
})
afterAll(() => server.close())

async function makeToken(name: string): Promise<Json> {
  const { admin } = server.tokens
  await server.call('POST', pathOf('runners'), { token: admin, body: { metadata: { name } } })
  const answer = await server.call('POST', `${pathOf('runners', name)}/enrollment-token`, { token: admin })
  expect(answer.status).toBe(201)
  const [prefix, content] = answer.body.token.split('.')
  expect(prefix).toBe('bothy-enroll')
  return JSON.parse(Buffer.from(content, 'base64url').toString())
}

async function makeRequest(secret: string, more: { signer?: KeyObject; proof?: object } = {}) {
  const signing = generateKeyPairSync('ed25519')
  const sealing = generateKeyPairSync('x25519')
  const secretHash = createHash('sha256').update(secret).digest('hex')
  const payload = { secretHash, aud: 'bothy-enroll', iat: Math.floor(clock.now() / 1000), ...more.proof }
  const proof = await new CompactSign(new TextEncoder().encode(JSON.stringify(payload)))
    .setProtectedHeader({ alg: 'EdDSA' })
    .sign(more.signer ?? signing.privateKey)
  const body = {
    secret,
    signingKey: signing.publicKey.export({ format: 'jwk' }),
    sealingKey: sealing.publicKey.export({ format: 'jwk' }),
    proof,
  }
  return { body, key: signing.privateKey }
}

const enroll = (body: Json) => server.call('POST', '/runner/enroll', { body })

test('a token names the server and its authority, works once, and makes a runner of who holds it', async () => {
  const { v, server: url, ca, secret } = await makeToken('one')
  expect({ v, url, ca }).toEqual({ v: 1, url: server.url(), ca: server.pki.caFingerprint })
  const { body, key } = await makeRequest(secret)
  const answer = await enroll(body)
  expect(answer.status).toBe(200)
  const runner = await server.call('GET', pathOf('runners', 'one'), { token: server.tokens.ada })
  const { uid } = runner.body.metadata
  expect(answer.body).toEqual({
    runner: { uid, namespace: 'default', name: 'one' },
    ca: server.pki.ca,
    jwks: server.pki.jwks,
  })

  const now = Math.floor(clock.now() / 1000)
  const token = await new SignJWT({ iss: `runner:${uid}`, aud: 'bothy-server', iat: now, exp: now + 60 })
    .setProtectedHeader({ alg: 'EdDSA' })
    .sign(key)
  expect((await server.call('GET', '/whoami', { token })).body).toMatchObject({ kind: 'runner', uid })
  expect((await server.call('POST', '/runner/lease', { token })).status).toBe(204)
  expect((await server.database.leases.list()).get(uid)).toBeGreaterThan(now * 1000 - 1)

  const again = await enroll((await makeRequest(secret)).body)
  expect(again.status).toBe(401)
  expect(again.body.details.bothy).toMatchObject({
    code: 'enrollment-refused',
    hint: expect.stringContaining('new'),
  })
})

test('a wrong proof is refused and does not use the token up; a day later it is worth nothing', async () => {
  const { secret } = await makeToken('two')
  const stranger = generateKeyPairSync('ed25519').privateKey
  const wrong = [
    await makeRequest(secret, { signer: stranger }),
    await makeRequest(secret, { proof: { secretHash: 'other' } }),
    await makeRequest(secret, { proof: { aud: 'other' } }),
    await makeRequest(secret, { proof: { iat: 0 } }),
  ]
  for (const { body } of wrong) expect((await enroll(body)).status).toBe(401)
  const good = await makeRequest(secret)
  expect((await enroll({ ...good.body, signingKey: good.body.sealingKey })).status).toBe(422)
  expect((await enroll({ ...good.body, secret: 'short' })).status).toBe(422)
  aheadMs += 86_400_000 + 1_000
  expect((await enroll((await makeRequest(secret)).body)).status).toBe(401)
  aheadMs += 3_600_000
})

test('secrets cannot be guessed at leisure: failures are throttled like those of tokens', async () => {
  const seen: number[] = []
  for (let n = 0; n < 25; n++) seen.push((await enroll((await makeRequest('A'.repeat(43))).body)).status)
  expect(new Set(seen)).toEqual(new Set([401, 429]))
  aheadMs += 3_600_000
})

test('an enrolled runner gets a certificate for its hosts, nobody else does', async () => {
  const runner = await server.addRunner('certified')
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const request = await Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm: algorithm })
  const body = { csr: request.toString('pem'), hosts: ['127.0.0.1', 'runner.example.com'] }
  const ask = async (token: string, asked: Json = body) =>
    server.call('POST', '/runner/certificate', { token, body: asked })
  const { status, body: answer } = await ask(await runner.token())
  expect(status).toBe(200)
  const certificate = new X509Certificate(answer.certificate)
  expect(certificate.checkIssued(new X509Certificate(server.pki.ca))).toBe(true)
  expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1')
  expect((await ask(server.tokens.admin)).status).toBe(403)
  expect((await ask(await runner.token(), { ...body, hosts: ['*'] })).status).toBe(422)
  expect((await ask(await runner.token(), { ...body, csr: 'no' })).status).toBe(422)
})
