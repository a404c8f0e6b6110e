import { createHash, X509Certificate } from 'node:crypto'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pathOf, type ServerFixture, startServer } from '../../test/support/server.ts'
import { createClient } from '../client/create-client.ts'
import { toFault } from '../lib/fault.ts'
import { requestCertificate } from './certificate.ts'
import { createCredential } from './credential.ts'
import { enrollRunner, parseEnrollmentToken } from './enroll.ts'
import { loadIdentity } from './identity.ts'

let server: ServerFixture
let dir: string
beforeAll(async () => {
  server = await startServer()
  dir = await mkdtemp(join(tmpdir(), 'bothy-enroll-'))
})
afterAll(async () => {
  await server.close()
  await rm(dir, { recursive: true })
})

let count = 0
async function tokenFor(name: string): Promise<string> {
  const metadata = { name, namespace: 'default' }
  await server.database.store.create({ kind: 'Runner', metadata, spec: { cordoned: false } })
  const path = `${pathOf('runners', name)}/enrollment-token`
  const { body } = await server.call('POST', path, { token: server.tokens.admin })
  return body.token
}
const folder = () => join(dir, `runner-${++count}`)

test('a token is good once; the identity is for its user only, and good for credentials and certificates', async () => {
  const token = await tokenFor('one')
  const at = folder()
  const identity = await enrollRunner({ token: `${token}\n`, dir: at })
  expect(identity.runner).toMatchObject({ namespace: 'default', name: 'one' })
  expect([(await stat(at)).mode & 0o777, (await stat(join(at, 'identity.json'))).mode & 0o777]).toEqual([
    0o700, 0o600,
  ])
  expect(await loadIdentity(at)).toEqual(identity)

  const again = await enrollRunner({ token, dir: folder() }).catch(toFault)
  expect(again).toMatchObject({ reason: 'unauthenticated' })

  const client = createClient({
    server: identity.server,
    ca: identity.ca,
    credential: createCredential(identity),
  })
  try {
    expect(await client.request('GET', '/whoami')).toMatchObject({ kind: 'runner', uid: identity.runner.uid })
    await client.request('POST', '/runner/lease')
    expect([...(await server.database.leases.list()).keys()]).toContain(identity.runner.uid)
    const signal = new AbortController().signal
    const { certificate, expiresMs } = await requestCertificate(
      client,
      ['runner.example.com', '192.0.2.7'],
      signal,
    )
    const parsed = new X509Certificate(certificate)
    expect(parsed.verify(new X509Certificate(identity.ca).publicKey)).toBe(true)
    expect([parsed.checkHost('runner.example.com'), parsed.checkIP('192.0.2.7')]).toEqual([
      'runner.example.com',
      '192.0.2.7',
    ])
    expect(expiresMs).toBeGreaterThan(Date.now())
  } finally {
    await client.close()
  }
})

test('a server that is not the one of the token gets nothing', async () => {
  const token = await tokenFor('two')
  const parts = parseEnrollmentToken(token)
  const other = createHash('sha256').update('another authority').digest('hex')
  const forged = `bothy-enroll.${Buffer.from(JSON.stringify({ ...parts, ca: other })).toString('base64url')}`
  const refused = await enrollRunner({ token: forged, dir: folder() }).catch(toFault)
  expect(refused).toMatchObject({ reason: 'forbidden' })
  // The secret was not given away: the token is still good.
  expect((await enrollRunner({ token, dir: folder() })).runner.name).toBe('two')
})

test.each(['', 'bothy-enroll.', 'bothy_secret', 'bothy-enroll.e30', `bothy-enroll.${'A'.repeat(100)}`])(
  'what is no token is refused without repeating it: %j',
  async token => {
    const refused = await enrollRunner({ token, dir: folder() }).catch(toFault)
    expect(refused).toMatchObject({ reason: 'invalid', code: 'enrollment-token-invalid' })
  },
)

test('a machine that is not enrolled is told what to do', async () => {
  expect(await loadIdentity(folder()).catch(toFault)).toMatchObject({
    reason: 'not_found',
    hint: expect.stringContaining('bothy runner enroll'),
  })
})

test('a credential is kept while it is fresh', async () => {
  let nowMs = Date.UTC(2030, 0, 1)
  const clock = { now: () => nowMs, sleep: () => Promise.resolve() }
  const identity = await enrollRunner({ token: await tokenFor('three'), dir: folder() })
  const credential = createCredential(identity, clock)
  const first = await credential()
  nowMs += 100_000
  expect(await credential()).toBe(first)
  nowMs += 100_000
  const second = await credential()
  expect(second).not.toBe(first)
  const claims = JSON.parse(Buffer.from(second.split('.')[1] ?? '', 'base64url').toString())
  expect(claims).toMatchObject({ iss: `runner:${identity.runner.uid}`, aud: 'bothy-server' })
  expect(claims.exp - claims.iat).toBeLessThanOrEqual(300)
  expect(claims.exp * 1000).toBeGreaterThan(nowMs)
})
