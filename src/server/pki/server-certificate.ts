import { createPrivateKey, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { join } from 'node:path'
import type { Millis } from '../../lib/clock.ts'
import type { Authority } from './authority.ts'
import { generateKeyPem, parseCertificate, parseKeyPem } from './authority.ts'
import { createFile, findFile, replaceFile } from './files.ts'

const DAY_MS = 86_400_000
const LIFE_MS = 90 * DAY_MS
/** A third of its life is left when it is renewed, so that a server that is seldom restarted has time to. */
const RENEW_BEFORE_MS = 30 * DAY_MS

export interface ServerCertificate {
  readonly certificate: string
  readonly key: string
}

/** The certificate in `tls.pem`, renewed when its end is near, when it lacks a host, or when another CA signed it. */
export async function ensureServerCertificate(
  dir: string,
  authority: Authority,
  hosts: readonly string[],
  nowMs: Millis,
): Promise<ServerCertificate> {
  const keyPath = join(dir, 'tls-key.pem')
  const path = join(dir, 'tls.pem')
  const key = (await findFile(keyPath)) ?? (await createFile(keyPath, await generateKeyPem()))
  const pair = await parseKeyPem(keyPath, key)
  const present = await findFile(path)
  if (present !== undefined) {
    parseCertificate(path, present)
    if (serves(present, key, authority, hosts, nowMs)) return { certificate: present, key }
  }
  const certificate = await authority.issue(
    { commonName: 'bothy-server', hosts, publicKey: pair.publicKey, lifeMs: LIFE_MS },
    nowMs,
  )
  await replaceFile(path, certificate)
  return { certificate, key }
}

function serves(
  pem: string,
  key: string,
  authority: Authority,
  hosts: readonly string[],
  nowMs: Millis,
): boolean {
  const certificate = new X509Certificate(pem)
  const ca = new X509Certificate(authority.certificate)
  return (
    certificate.validToDate.getTime() - nowMs > RENEW_BEFORE_MS &&
    certificate.validFromDate.getTime() <= nowMs &&
    certificate.checkIssued(ca) &&
    certificate.verify(ca.publicKey) &&
    certificate.checkPrivateKey(createPrivateKey(key)) &&
    hosts.every(host =>
      isIP(host) === 0
        ? certificate.checkHost(host, { subject: 'never' }) !== undefined
        : certificate.checkIP(host) !== undefined,
    )
  )
}
