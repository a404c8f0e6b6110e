import '../../lib/reflect-metadata.ts'
import { isIP } from 'node:net'
import * as x509 from '@peculiar/x509'
import type { Millis } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import { type Authority, EC } from './authority.ts'

/** Short, because it is renewed by signature and there is no revocation list. */
export const RUNNER_CERTIFICATE_LIFE_MS = 24 * 3_600_000
const MAX_HOSTS = 16
const MAX_CSR_BYTES = 16_384
// RFC 1123 host names; wildcards are none.
const HOST = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$/

export interface RunnerCertificateRequest {
  readonly runnerUid: string
  /** PKCS #10, PEM, P-256. Its subject and extensions are not looked at. */
  readonly csr: string
  readonly hosts: readonly string[]
  /** Names of the server itself: a runner elsewhere that got one of them could pose as the server. */
  readonly reserved: readonly string[]
}

/**
 * A certificate (PEM) for a runner's gateway. Faults with `invalid` when the request is not signed by its own key or a
 * host is none, with `forbidden` when a host is reserved.
 */
export async function issueRunnerCertificate(
  authority: Authority,
  request: RunnerCertificateRequest,
  nowMs: Millis,
): Promise<string> {
  const hosts = parseHosts(request.hosts)
  const taken = hosts.find(host => request.reserved.includes(host))
  if (taken !== undefined) {
    const hint = 'advertise an address of the runner itself'
    throw new Fault('forbidden', 'runner-host-reserved', `certify '${taken}': it names the server`, { hint })
  }
  const publicKey = await verifyRequest(request.csr)
  const commonName = `runner:${request.runnerUid}`
  return authority.issue({ commonName, hosts, publicKey, lifeMs: RUNNER_CERTIFICATE_LIFE_MS }, nowMs)
}

/** Host names and addresses in lower case, without duplicates. Faults with `invalid`. */
export function parseHosts(hosts: readonly string[]): string[] {
  if (hosts.length === 0 || hosts.length > MAX_HOSTS)
    throw new Fault(
      'invalid',
      'runner-hosts-count',
      `certify ${hosts.length} hosts: 1 to ${MAX_HOSTS} are possible`,
    )
  const lower = hosts.map(host => host.toLowerCase())
  const wrong = lower.find(host => isIP(host) === 0 && (!HOST.test(host) || /^[0-9.]+$/.test(host)))
  if (wrong !== undefined)
    throw new Fault(
      'invalid',
      'runner-host-invalid',
      `certify '${wrong.slice(0, 80)}': not a host name or address`,
    )
  return [...new Set(lower)]
}

async function verifyRequest(csr: string): Promise<x509.PublicKey> {
  const refuse = (why: string, cause?: unknown) =>
    new Fault('invalid', 'csr-invalid', `read the certificate request: ${why}`, { cause })
  if (csr.length > MAX_CSR_BYTES) throw refuse('too large')
  let request: x509.Pkcs10CertificateRequest
  try {
    request = new x509.Pkcs10CertificateRequest(csr)
  } catch (cause) {
    throw refuse('not PKCS #10 in PEM', cause)
  }
  const algorithm = request.publicKey.algorithm as { name: string; namedCurve?: string }
  if (algorithm.name !== EC.name || algorithm.namedCurve !== EC.namedCurve)
    throw refuse('its key is not P-256')
  const signed = await request.verify().catch(() => false)
  if (!signed) throw refuse('it is not signed by its own key')
  return request.publicKey
}
