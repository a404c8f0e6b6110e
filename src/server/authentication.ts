// Who is it? Users show a token whose hash is stored; runners sign a short-lived JWT with the key they enrolled.
import { createHash } from 'node:crypto'
import { decodeJwt, errors, importJWK, jwtVerify } from 'jose'
import type { CredentialStore, RunnerIdentity } from '../core/credentials.ts'
import type { Store } from '../core/store.ts'
import type { Clock } from '../lib/clock.ts'
import { createFailureLimiter } from '../lib/failure-limiter.ts'
import { Fault } from '../lib/fault.ts'
import { isUuid } from '../lib/ids.ts'
import type { Principal } from './principal.ts'

const USER_TOKEN = /^bothy_[A-Za-z0-9_-]{43}$/
const JWT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/
/** What runners put into `aud`. */
export const SERVER_AUDIENCE = 'bothy-server'
/** The longest life that a runner may give to a token. */
const MAX_RUNNER_TOKEN_LIFE_S = 300
const TOLERANCE_S = 30
const MAX_TOKEN_LENGTH = 4096
const MAX_KNOWN = 4096

/** A token that was verified before. */
interface Proof {
  /** What verified it: after a new enrolment it is another one. */
  readonly signingKey: string
  readonly expS: number
}

export interface Authenticator {
  /**
   * Faults with `unauthenticated` (no token, an unknown one, a forged or expired one), and with `exhausted` when this
   * source address has failed too often; whoever has succeeded before is listened to nevertheless.
   */
  authenticate(authorization: string | undefined, address: string): Promise<Principal>
  /** For other secrets that could be guessed (enrolment): faults with `exhausted`. */
  admitAttempt(address: string): void
  countFailure(address: string): void
}

export interface AuthenticationDeps {
  readonly credentials: CredentialStore
  readonly store: Store
  readonly clock: Clock
}

/** SHA-256, lower-case hex: how secrets of 256 random bits are stored. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

export function createAuthenticator(deps: AuthenticationDeps): Authenticator {
  const limiter = createFailureLimiter(deps.clock)
  const known = new Set<string>()
  // Runners send the same token for minutes. By hash, so that no token is kept.
  const proofs = new Map<string, Proof>()

  function admit(address: string): void {
    const waitMs = limiter.waitMs(address)
    if (waitMs === 0) return
    const hint = `wait ${Math.ceil(waitMs / 1000)} s, then try with a valid token`
    throw new Fault('exhausted', 'authentication-throttled', 'too many failed attempts from this address', {
      hint,
    })
  }

  function remember(who: string): void {
    if (known.size >= MAX_KNOWN) known.delete(known.values().next().value!)
    known.add(who)
  }

  async function verify(token: string, address: string): Promise<Principal> {
    if (USER_TOKEN.test(token)) {
      const hash = hashSecret(token)
      if (!known.has(hash)) admit(address)
      const user = await deps.credentials.findUser(hash)
      if (user === undefined) throw refusedUser()
      remember(hash)
      return { kind: 'user', name: user.name, role: user.role }
    }
    const uid = issuerUid(token)
    if (uid === undefined || !known.has(uid)) admit(address)
    if (uid === undefined) throw refusedUser()
    const runner = await verifyRunner(deps, proofs, token, uid)
    remember(uid)
    return runner
  }

  return {
    admitAttempt: admit,
    countFailure: address => limiter.fail(address),
    authenticate: async (authorization, address) => {
      const token = parseBearer(authorization)
      try {
        return await verify(token, address)
      } catch (error) {
        if (error instanceof Fault && error.reason === 'unauthenticated') limiter.fail(address)
        throw error
      }
    },
  }
}

function parseBearer(authorization: string | undefined): string {
  const hint = "send 'Authorization: Bearer TOKEN'; the CLI's context holds yours"
  if (authorization === undefined)
    throw new Fault('unauthenticated', 'token-missing', 'the request carries no token', { hint })
  const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1]
  if (token === undefined || token.length > MAX_TOKEN_LENGTH)
    throw new Fault('unauthenticated', 'token-malformed', 'the Authorization header is not a bearer token', {
      hint,
    })
  return token
}

/** The uid in `iss`, unverified: says whose key to try. */
function issuerUid(token: string): string | undefined {
  if (!JWT.test(token)) return undefined
  try {
    const uid = /^runner:(.*)$/.exec(decodeJwt(token).iss ?? '')?.[1]
    return uid !== undefined && isUuid(uid) ? uid : undefined
  } catch {
    // Not a JWT: as good as any other unknown token.
    return undefined
  }
}

async function verifyRunner(
  deps: AuthenticationDeps,
  proofs: Map<string, Proof>,
  token: string,
  uid: string,
): Promise<Principal> {
  const identity = await deps.credentials.findRunner(uid)
  if (identity === undefined) throw refusedRunner('no such runner is enrolled')
  const nowS = Math.floor(deps.clock.now() / 1000)
  const hash = hashSecret(token)
  const proof = proofs.get(hash)
  if (proof?.signingKey !== identity.signingKey || nowS >= proof.expS) {
    const expS = await verifyToken(identity, token, nowS)
    proofs.delete(hash)
    if (proofs.size >= MAX_KNOWN) proofs.delete(proofs.keys().next().value!)
    proofs.set(hash, { signingKey: identity.signingKey, expS })
  }
  // Keys outlive a Runner object that was deleted in a hurry; a new one of the same name has another uid.
  const runner = await deps.store.find({ kind: 'Runner', namespace: identity.namespace, name: identity.name })
  if (runner?.metadata.uid !== uid) throw refusedRunner('its Runner object is gone')
  return { kind: 'runner', uid, namespace: identity.namespace, name: identity.name }
}

/** When it expires. Faults with `unauthenticated`. */
async function verifyToken(identity: RunnerIdentity, token: string, nowS: number): Promise<number> {
  try {
    const key = await importJWK(JSON.parse(identity.signingKey), 'EdDSA')
    const { payload } = await jwtVerify(token, key, {
      algorithms: ['EdDSA'],
      issuer: `runner:${identity.uid}`,
      audience: SERVER_AUDIENCE,
      currentDate: new Date(nowS * 1000),
      clockTolerance: TOLERANCE_S,
      requiredClaims: ['iat', 'exp'],
    })
    if (payload.exp! - payload.iat! > MAX_RUNNER_TOKEN_LIFE_S) throw refusedRunner('it lives too long')
    if (payload.iat! > nowS + TOLERANCE_S) throw refusedRunner('it was issued in the future')
    return payload.exp!
  } catch (cause) {
    if (!(cause instanceof errors.JOSEError)) throw cause
    throw refusedRunner(cause.code, cause)
  }
}

function refusedUser(): Fault {
  const hint = 'check the token of your context, or ask an administrator for a new one'
  return new Fault('unauthenticated', 'token-unknown', 'the token is not valid', { hint })
}

function refusedRunner(why: string, cause?: unknown): Fault {
  const hint = 'check the clocks of both machines; else enrol the runner again with a new enrolment token'
  const message = `the runner's token is not valid: ${why}`
  return new Fault('unauthenticated', 'runner-token-refused', message, { cause, hint })
}
