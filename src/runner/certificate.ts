import '../lib/reflect-metadata.ts'
import { webcrypto } from 'node:crypto'
import { Pkcs10CertificateRequestGenerator, X509Certificate } from '@peculiar/x509'
import type { ApiClient } from '../client/create-client.ts'
import type { Millis } from '../lib/clock.ts'
import { Fault } from '../lib/fault.ts'

// What every TLS client speaks; the server certifies no other.
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** PEM. */
export interface RunnerCertificate {
  readonly certificate: string
  readonly key: string
  readonly expiresMs: Millis
}

/** A fresh key and the server's certificate for it, good for `hosts`. The key never leaves this process. */
export async function requestCertificate(
  client: Pick<ApiClient, 'request'>,
  hosts: readonly string[],
  signal: AbortSignal,
): Promise<RunnerCertificate> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])
  const request = await Pkcs10CertificateRequestGenerator.create(
    { name: 'CN=bothy-runner', keys, signingAlgorithm: ALGORITHM },
    webcrypto as never,
  )
  const { certificate } = await client.request<{ certificate: string }>('POST', '/runner/certificate', {
    body: { csr: request.toString('pem'), hosts },
    signal,
  })
  if (typeof certificate !== 'string') {
    throw new Fault('internal', 'certificate-malformed', 'ask for a certificate: the answer holds none')
  }
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey))
    .toString('base64')
    .replace(/.{64}/g, '$&\n')
    .trimEnd()
  return {
    certificate,
    key: `-----BEGIN PRIVATE KEY-----\n${key}\n-----END PRIVATE KEY-----\n`,
    expiresMs: new X509Certificate(certificate).notAfter.getTime(),
  }
}
