import { mkdir } from 'node:fs/promises'
import type { JWK } from 'jose'
import type { EntranceClaims } from '../../api/entrance.ts'
import { type Clock, systemClock } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import { loadAuthority } from './authority.ts'
import { issueRunnerCertificate, type RunnerCertificateRequest } from './runner-certificate.ts'
import { ensureServerCertificate, type ServerCertificate } from './server-certificate.ts'
import { loadSigningKeys } from './signing-keys.ts'

export interface Pki {
  /** The authority's certificate, PEM. */
  readonly ca: string
  /** SHA-256 of its DER, lower-case hex. */
  readonly caFingerprint: string
  /** Public keys that verify entrance tokens. */
  readonly jwks: { readonly keys: readonly JWK[] }
  /** Certificate and key that serve all of `hosts`; renewed as needed, so ask again from time to time. */
  serverCertificate(hosts: readonly string[]): Promise<ServerCertificate>
  issueRunnerCertificate(request: RunnerCertificateRequest): Promise<string>
  signEntrance(claims: Pick<EntranceClaims, 'aud' | 'sub' | 'env' | 'act'>): Promise<string>
  /** Faults with `unauthenticated`. */
  verifyEntrance(token: string, audience: string): Promise<EntranceClaims>
}

/**
 * Reads the keys and certificates in `dir`, making on the first start what is missing (0600, in a 0700 folder).
 * A file that is there and cannot be read or makes no sense is a fault and stays as it is.
 */
export async function loadPki(dir: string, clock: Clock = systemClock): Promise<Pki> {
  await mkdir(dir, { recursive: true, mode: 0o700 }).catch(cause => {
    const hint = 'choose a data folder that the user running the server may write to'
    throw new Fault('forbidden', 'pki-folder', `make the folder ${dir}: ${cause.code}`, { cause, hint })
  })
  const authority = await loadAuthority(dir, clock.now())
  const keys = await loadSigningKeys(dir)
  return {
    ca: authority.certificate,
    caFingerprint: authority.fingerprint,
    jwks: keys.jwks,
    serverCertificate: hosts => ensureServerCertificate(dir, authority, hosts, clock.now()),
    issueRunnerCertificate: request => issueRunnerCertificate(authority, request, clock.now()),
    signEntrance: claims => keys.sign(claims, clock.now()),
    verifyEntrance: (token, audience) => keys.verify(token, audience, clock.now()),
  }
}
