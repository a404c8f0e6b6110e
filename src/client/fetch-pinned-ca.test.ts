import { afterEach, expect, test } from 'vitest'
import { type HttpsFixture, openHttps } from '../../test/support/https.ts'
import { fetchPinnedCa } from './fetch-pinned-ca.ts'

const opened: HttpsFixture[] = []
afterEach(async () => {
  for (const fixture of opened.splice(0)) await fixture.close()
})

/** A server that answers /ca.pem with `body`, by default its own authority's certificate. */
const serve = async (body?: string, hosts?: readonly string[]) => {
  const asked: unknown[] = []
  const fixture = await openHttps((request, response) => {
    asked.push([request.url, request.headers.authorization])
    if (request.url === '/ca.pem') response.end(body ?? fixture.pki.ca)
    else response.writeHead(404).end()
  }, hosts)
  opened.push(fixture)
  return { ...fixture, asked, pin: fixture.pki.caFingerprint }
}

test('the authority with the right fingerprint is believed, once the server has proven to be its', async () => {
  const { url, pin, pki, asked } = await serve()
  expect((await fetchPinnedCa(url, pin)).trim()).toBe(pki.ca.trim())
  expect((await fetchPinnedCa(url, pin.toUpperCase())).trim()).toBe(pki.ca.trim())
  expect(asked).toEqual([
    ['/ca.pem', undefined],
    ['/ca.pem', undefined],
  ])
})

test('another fingerprint, a body that is none, and an empty one are refused', async () => {
  const [one, other] = [await serve(), await serve()]
  const differs = { reason: 'forbidden', code: 'ca-fingerprint-differs' }
  await expect(fetchPinnedCa(one.url, other.pin)).rejects.toMatchObject(differs)
  for (const body of ['', 'garbage', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n']) {
    const odd = await serve(body)
    await expect(fetchPinnedCa(odd.url, odd.pin)).rejects.toMatchObject(differs)
  }
})

test('who hands out the right authority but cannot prove to be its server is refused', async () => {
  const right = await serve()
  const impostor = await serve(right.pki.ca)
  await expect(fetchPinnedCa(impostor.url, right.pin)).rejects.toMatchObject({
    reason: 'forbidden',
    code: 'server-unproven',
  })
})

test('a certificate of the right authority for another address is refused', async () => {
  const { url, pin } = await serve(undefined, ['elsewhere.example.com'])
  await expect(fetchPinnedCa(url, pin)).rejects.toMatchObject({ code: 'server-unproven' })
})

test('an authority that was smuggled in beside the pinned one is left out', async () => {
  const stranger = await serve()
  const right = await openHttps((_request, response) => response.end(`${right.pki.ca}\n${stranger.pki.ca}`))
  opened.push(right)
  expect((await fetchPinnedCa(right.url, right.pki.caFingerprint)).match(/BEGIN/g)).toHaveLength(1)
})

test("a server's own certificate is no authority, whatever is pinned", async () => {
  const { createHash, X509Certificate } = await import('node:crypto')
  const one = await serve()
  const { certificate } = await one.pki.serverCertificate(['127.0.0.1'])
  const leaf = await serve(certificate)
  const pin = createHash('sha256').update(new X509Certificate(certificate).raw).digest('hex')
  await expect(fetchPinnedCa(leaf.url, pin)).rejects.toMatchObject({ code: 'ca-fingerprint-differs' })
})

test('a server that is not there is unavailable', async () => {
  const { url, pin, close } = await serve()
  await close()
  await expect(fetchPinnedCa(url, pin)).rejects.toMatchObject({ reason: 'unavailable' })
})
