import { webcrypto, X509Certificate } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import '../../lib/reflect-metadata.ts'
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509'
import { decodeProtectedHeader, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { EC } from './authority.ts'
import { loadPki } from './load-pki.ts'

let dir: string
beforeEach(async () => {
  dir = join(await mkdtemp(join(tmpdir(), 'bothy-pki-')), 'server')
})
afterEach(() => rm(join(dir, '..'), { recursive: true, force: true }))

const HOSTS = ['localhost', '127.0.0.1', '::1', 'dev.example.com']
const RUNNER = '01890a5d-ac96-774b-bcce-b302099a8057'
const ENVIRONMENT = '01890a5d-ac96-774b-bcce-b302099a8058'
const DAY_MS = 86_400_000
const at = (ms: number): Clock => ({ ...systemClock, now: () => ms })

async function makeRequest(
  algorithm: webcrypto.EcKeyGenParams & { hash: string } = { ...EC },
): Promise<string> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const csr = await Pkcs10CertificateRequestGenerator.create({
    name: 'CN=whatever',
    keys,
    signingAlgorithm: algorithm,
  })
  return csr.toString('pem')
}

describe('the files', () => {
  test('are made once, are private, and are the same at the next start', async () => {
    const first = await loadPki(dir)
    const served = await first.serverCertificate(HOSTS)
    const files = await readdir(dir)
    expect(files.sort()).toEqual(['ca-key.pem', 'ca.pem', 'signing-keys.json', 'tls-key.pem', 'tls.pem'])
    for (const file of files) expect((await stat(join(dir, file))).mode & 0o777).toBe(0o600)
    expect((await stat(dir)).mode & 0o777).toBe(0o700)

    const second = await loadPki(dir)
    expect(second.caFingerprint).toBe(first.caFingerprint)
    expect(second.jwks).toEqual(first.jwks)
    expect(await second.serverCertificate(HOSTS)).toEqual(served)
  })

  test('two servers that start at once end with one authority', async () => {
    const all = await Promise.all([loadPki(dir), loadPki(dir), loadPki(dir)])
    const after = await loadPki(dir)
    for (const pki of all) expect(pki.caFingerprint).toBe(after.caFingerprint)
  })

  for (const file of ['ca-key.pem', 'ca.pem', 'signing-keys.json', 'tls-key.pem', 'tls.pem']) {
    test(`a corrupt ${file} is a fault and stays as it is`, async () => {
      await (await loadPki(dir)).serverCertificate(HOSTS)
      await writeFile(join(dir, file), 'garbage')
      const load = async () => (await loadPki(dir)).serverCertificate(HOSTS)
      await expect(load()).rejects.toMatchObject({
        reason: 'invalid',
        code: 'pki-file-corrupt',
        message: expect.stringContaining(file),
        hint: expect.stringContaining('restore'),
      })
      expect(await readFile(join(dir, file), 'utf8')).toBe('garbage')
    })
  }

  for (const file of ['ca-key.pem', 'ca.pem']) {
    test(`a lost ${file} is a fault: whoever pinned the authority would be locked out by a new one`, async () => {
      await (await loadPki(dir)).serverCertificate(HOSTS)
      await rm(join(dir, file))
      await expect(loadPki(dir)).rejects.toMatchObject({ code: 'pki-file-corrupt' })
    })
  }

  test("a key of another authority beside 'ca.pem' is a fault", async () => {
    await loadPki(dir)
    const other = join(dir, 'other')
    await loadPki(other)
    await writeFile(join(dir, 'ca-key.pem'), await readFile(join(other, 'ca-key.pem')))
    await expect(loadPki(dir)).rejects.toMatchObject({ code: 'pki-file-corrupt' })
  })
})

describe('the server certificate', () => {
  test('names all hosts, is signed by the CA, and is renewed near its end or for a new host', async () => {
    const start = Date.UTC(2030, 0, 1)
    const pki = await loadPki(dir, at(start))
    const first = await pki.serverCertificate(HOSTS)
    const certificate = new X509Certificate(first.certificate)
    const ca = new X509Certificate(pki.ca)
    expect(certificate.verify(ca.publicKey)).toBe(true)
    expect(ca.ca).toBe(true)
    expect(certificate.ca).toBe(false)
    for (const host of HOSTS)
      expect(certificate.checkHost(host) ?? certificate.checkIP(host), host).toBe(host)

    const later = await (await loadPki(dir, at(start + 59 * DAY_MS))).serverCertificate(HOSTS)
    expect(later).toEqual(first)
    const renewed = await (await loadPki(dir, at(start + 61 * DAY_MS))).serverCertificate(HOSTS)
    expect(renewed.certificate).not.toBe(first.certificate)
    expect(renewed.key).toBe(first.key)
    const wider = await pki.serverCertificate([...HOSTS, '192.0.2.7'])
    expect(new X509Certificate(wider.certificate).checkIP('192.0.2.7')).toBe('192.0.2.7')
  })
})

describe("a runner's certificate", () => {
  test('names its hosts and its uid and lives for a day', async () => {
    const pki = await loadPki(dir)
    const request = {
      runnerUid: RUNNER,
      csr: await makeRequest(),
      hosts: ['Runner.example.com', '192.0.2.8'],
    }
    const pem = await pki.issueRunnerCertificate({ ...request, reserved: [] })
    const certificate = new X509Certificate(pem)
    expect(certificate.subject).toBe(`CN=runner:${RUNNER}`)
    expect(certificate.subjectAltName).toBe('DNS:runner.example.com, IP Address:192.0.2.8')
    expect(certificate.verify(new X509Certificate(pki.ca).publicKey)).toBe(true)
    const lifeMs = certificate.validToDate.getTime() - Date.now()
    expect(Math.abs(lifeMs - DAY_MS)).toBeLessThan(60_000)
  })

  test.each([
    ['no hosts', [], 'runner-hosts-count'],
    ['a wildcard', ['*.example.com'], 'runner-host-invalid'],
    ['a URL', ['https://example.com'], 'runner-host-invalid'],
    ['half an address', ['10.0.0'], 'runner-host-invalid'],
    ['the name of the server', ['SERVER.example.com'], 'runner-host-reserved'],
  ])('refuses %s', async (_, hosts, code) => {
    const pki = await loadPki(dir)
    const request = { runnerUid: RUNNER, csr: await makeRequest(), hosts, reserved: ['server.example.com'] }
    await expect(pki.issueRunnerCertificate(request)).rejects.toMatchObject({ code })
  })

  test('refuses garbage, another curve, and a request whose signature is not its own', async () => {
    const pki = await loadPki(dir)
    const issue = (csr: string) =>
      pki.issueRunnerCertificate({ runnerUid: RUNNER, csr, hosts: ['a'], reserved: [] })
    const good = await makeRequest()
    const body = Buffer.from(good.replace(/-----[^-]+-----|\s/g, ''), 'base64')
    body[body.length - 1]! ^= 1
    const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${body.toString('base64')}\n-----END CERTIFICATE REQUEST-----`
    const otherCurve = await makeRequest({ ...EC, namedCurve: 'P-384' })
    for (const csr of ['garbage', forged, otherCurve, 'x'.repeat(20_000)])
      await expect(issue(csr)).rejects.toMatchObject({ code: 'csr-invalid' })
  })
})

describe('an entrance token', () => {
  const claims = { aud: `runner:${RUNNER}`, sub: 'user:ada', env: ENVIRONMENT, act: 'exec' } as const

  test('is accepted for its audience within its minute', async () => {
    const now = Date.now()
    const pki = await loadPki(dir, at(now))
    const token = await pki.signEntrance(claims)
    expect(decodeProtectedHeader(token)).toMatchObject({ alg: 'EdDSA', kid: pki.jwks.keys[0]?.kid })
    const seen = await pki.verifyEntrance(token, claims.aud)
    expect(seen).toMatchObject(claims)
    expect(seen.exp - seen.iat).toBe(60)
    const refused = { reason: 'unauthenticated', code: 'entrance-token-refused' }
    await expect(pki.verifyEntrance(token, `runner:${ENVIRONMENT}`)).rejects.toMatchObject(refused)
    const late = await loadPki(dir, at(now + 70_000))
    await expect(late.verifyEntrance(token, claims.aud)).rejects.toMatchObject(refused)
    await expect(pki.verifyEntrance(`${token.slice(0, -4)}AAAA`, claims.aud)).rejects.toMatchObject(refused)
  })

  test("is refused when somebody else's key signed it, also under our key id", async () => {
    const pki = await loadPki(dir)
    const { privateKey, publicKey } = await generateKeyPair('EdDSA')
    expect((await exportJWK(publicKey)).crv).toBe('Ed25519')
    const forged = await new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'EdDSA', kid: pki.jwks.keys[0]!.kid! })
      .setIssuedAt()
      .setExpirationTime('1m')
      .setJti('x')
      .sign(privateKey)
    await expect(pki.verifyEntrance(forged, claims.aud)).rejects.toMatchObject({ reason: 'unauthenticated' })
  })

  test('a second key of the file verifies too: two overlap while keys change', async () => {
    const old = await loadPki(dir)
    const token = await old.signEntrance(claims)
    const path = join(dir, 'signing-keys.json')
    const { keys } = JSON.parse(await readFile(path, 'utf8'))
    const { privateKey } = await generateKeyPair('EdDSA', { extractable: true })
    const next = { ...(await exportJWK(privateKey)), kid: 'next' }
    await writeFile(path, JSON.stringify({ keys: [next, ...keys] }))
    const pki = await loadPki(dir)
    expect(await pki.verifyEntrance(token, claims.aud)).toMatchObject(claims)
    expect(decodeProtectedHeader(await pki.signEntrance(claims)).kid).toBe('next')
    expect(JSON.stringify(pki.jwks)).not.toContain('"d"')
  })
})
