// The first contact of a runner with its server: all it has is the fingerprint of the server's authority.
import { X509Certificate } from 'node:crypto'
import { request } from 'node:https'
import type { TLSSocket } from 'node:tls'
import type { Millis } from '../lib/clock.ts'
import { Fault } from '../lib/fault.ts'
import { dialTls } from './dial-tls.ts'
import { parseServerUrl, type ServerUrl } from './server-url.ts'
import { networkFault } from './transport.ts'

const DIAL_MS: Millis = 10_000
const CA_BYTES = 64 * 1024

/**
 * The authority (PEM) of the server at `server`, whose DER has the SHA-256 `sha256Hex`. Nothing that came over the
 * unproven connection is believed but what the fingerprint proves; then the server must prove, by a handshake checked
 * against that authority and nothing else, that it is the server. Faults with `forbidden` when either fails, with
 * `unavailable` when it cannot be reached. No credential is sent.
 */
export async function fetchPinnedCa(server: string, sha256Hex: string): Promise<string> {
  const url = parseServerUrl(server)
  const unproven = await dialTls({ ...url, ca: undefined }, DIAL_MS)
  const ca = parsePinned(await readCa(unproven, url), sha256Hex, url)
  // Only the pinned certificate itself: the answer may hold others beside it.
  const pem = ca.toString()
  try {
    const proven = await dialTls({ ...url, ca: pem }, DIAL_MS)
    proven.destroy()
  } catch (cause) {
    throw new Fault(
      'forbidden',
      'server-unproven',
      `check ${url.origin}: its certificate is not from its own authority`,
      {
        cause,
        hint: 'the address may not be one that the server knows itself by; make sure that it is your server',
      },
    )
  }
  return pem
}

function parsePinned(pem: string, sha256Hex: string, url: ServerUrl): X509Certificate {
  const certificate = parseCertificate(pem)
  const found = certificate?.fingerprint256.replaceAll(':', '').toLowerCase()
  if (certificate?.ca && found === sha256Hex.toLowerCase()) return certificate
  throw new Fault(
    'forbidden',
    'ca-fingerprint-differs',
    `check ${url.origin}: it is not the server of this token`,
    {
      hint: 'the token is for another server, or somebody answers in its place; ask for a new token there',
    },
  )
}

function parseCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem)
  } catch {
    return undefined // Not a certificate, so not the pinned one either.
  }
}

function readCa(socket: TLSSocket, url: ServerUrl): Promise<string> {
  const attempt = `GET ${url.origin}/ca.pem`
  return new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      socket.destroy()
      reject(networkFault(error, attempt, url.origin))
    }
    const get = request({
      createConnection: () => socket,
      host: url.host,
      port: url.port,
      path: '/ca.pem',
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(DIAL_MS),
    })
    get.once('error', fail)
    get.once('response', answer => {
      let body = ''
      answer.setEncoding('latin1')
      answer.on('data', (text: string) => {
        body += text
        if (body.length > CA_BYTES) answer.destroy(new Error('the answer is too long for a certificate'))
      })
      answer.once('error', fail)
      answer.once('end', () => {
        socket.destroy()
        if (answer.statusCode === 200) return resolve(body)
        const message = `${attempt}: HTTP ${answer.statusCode}`
        reject(new Fault('unavailable', 'ca-missing', message, { hint: 'is it a Bothy server?' }))
      })
    })
    get.end()
  })
}
