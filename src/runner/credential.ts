import { importJWK, type JWK, SignJWT } from 'jose'
import { type Clock, systemClock } from '../lib/clock.ts'
import type { RunnerIdentityFile } from './identity.ts'

// The server accepts at most five minutes; renewed early, so that a clock that is a little off, or a slow request,
// never meets an expired one.
const LIFE_S = 300
const RENEW_BEFORE_S = 120
const BACKDATE_S = 10

/** The runner's bearer token for the next request: signed by its key, kept while it is fresh. */
export function createCredential(
  identity: Pick<RunnerIdentityFile, 'runner' | 'signingKey'>,
  clock: Clock = systemClock,
): () => Promise<string> {
  const key = importJWK(identity.signingKey as JWK, 'EdDSA')
  key.catch(() => undefined) // Thrown to whoever asks for a token.
  let latest: { readonly token: Promise<string>; readonly expiresS: number } | undefined
  return async () => {
    const nowS = Math.floor(clock.now() / 1000)
    if (latest === undefined || latest.expiresS - nowS < RENEW_BEFORE_S) {
      // A server whose clock is a little behind would refuse a token from its future.
      const issuedS = nowS - BACKDATE_S
      const expiresS = issuedS + LIFE_S
      const token = new SignJWT()
        .setProtectedHeader({ alg: 'EdDSA' })
        .setIssuer(`runner:${identity.runner.uid}`)
        .setAudience('bothy-server')
        .setIssuedAt(issuedS)
        .setExpirationTime(expiresS)
        .sign(await key)
      latest = { token, expiresS }
    }
    return latest.token
  }
}
