// Who may enter, decided offline: tokens are signed by the control plane and verified against the keys known here.
import { decodeProtectedHeader, importJWK, type JWK, jwtVerify } from 'jose'
import { type EntranceClaims, entranceClaimsSchema } from '../api/entrance.ts'
import type { Clock } from '../lib/clock.ts'
import { Fault } from '../lib/fault.ts'
import type { Knock } from './parse-knock.ts'

/** How far the clocks of server and runner may be apart. */
const LEEWAY_S = 5
/** Tokens live for 60 s; one that claims much more was not made for an entrance. */
const LIFE_S = 120

export interface AdmissionOptions {
  readonly runnerUid: string
  /** The control plane's public keys, as currently known. */
  readonly keys: () => readonly JWK[]
  readonly clock: Clock
}

/** Admits or faults: `unauthenticated` for a token that proves nothing here, `forbidden` for one that is for something else. */
export type Admission = (knock: Knock) => Promise<EntranceClaims>

export function createAdmission({ runnerUid, keys, clock }: AdmissionOptions): Admission {
  const used = new UsedTokens(clock)
  return async knock => {
    const claims = await verify(knock.token, runnerUid, keys(), clock)
    if (claims.act !== knock.kind || claims.env !== knock.environmentUid) {
      throw new Fault('forbidden', 'entrance-token-for-other', 'enter: the token is for another entrance')
    }
    used.take(claims)
    return claims
  }
}

async function verify(
  token: string,
  runnerUid: string,
  keys: readonly JWK[],
  clock: Clock,
): Promise<EntranceClaims> {
  try {
    const key = await importJWK(findKey(keys, token), 'EdDSA')
    const { payload } = await jwtVerify(token, key, {
      algorithms: ['EdDSA'],
      audience: `runner:${runnerUid}`,
      clockTolerance: LEEWAY_S,
      currentDate: new Date(clock.now()),
      requiredClaims: ['exp', 'iat', 'jti'],
    })
    const claims = entranceClaimsSchema.parse(payload)
    if (claims.exp - claims.iat > LIFE_S) throw new Error('it lives too long')
    return claims
  } catch (cause) {
    const hint = 'tokens are good for one minute and one entrance; try again'
    throw new Fault('unauthenticated', refusalOf(cause), 'enter: the token is not valid here', {
      cause,
      hint,
    })
  }
}

/** The one key that the token names. Only Ed25519: a key of another type under the same name proves nothing. */
function findKey(keys: readonly JWK[], token: string): JWK {
  const { kid, alg } = decodeProtectedHeader(token)
  const found = keys.find(key => key.kid === kid && key.kty === 'OKP' && key.crv === 'Ed25519')
  if (kid === undefined || alg !== 'EdDSA' || found?.x === undefined)
    throw new Error('signed by nobody known')
  return { kty: 'OKP', crv: 'Ed25519', x: found.x }
}

/** Which check failed; for logs and for bug reports. */
function refusalOf(cause: unknown): string {
  const { code, claim } = cause as { code?: string; claim?: string }
  if (code === 'ERR_JWT_EXPIRED') return 'entrance-token-expired'
  if (code === 'ERR_JWT_CLAIM_VALIDATION_FAILED' && claim === 'aud') return 'entrance-token-for-other-runner'
  return 'entrance-token-invalid'
}

/**
 * Remembers tokens until they expire. Those issued before this memory began may have been used already, before a
 * restart, and are refused: their owner asks for another.
 */
class UsedTokens {
  readonly #clock: Clock
  readonly #sinceS: number
  readonly #forgetAtS = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
    this.#sinceS = Math.floor(clock.now() / 1000)
  }

  take({ jti, iat, exp }: EntranceClaims): void {
    const nowS = this.#clock.now() / 1000
    // Issued in order of expiry, nearly: what is left for later is forgotten later.
    for (const [old, forgetAtS] of this.#forgetAtS) {
      if (forgetAtS >= nowS) break
      this.#forgetAtS.delete(old)
    }
    if (iat < this.#sinceS - LEEWAY_S || this.#forgetAtS.has(jti)) {
      const hint = 'ask for another; each is good for one entrance'
      throw new Fault('unauthenticated', 'entrance-token-used', 'enter: the token was used already', { hint })
    }
    this.#forgetAtS.set(jti, exp + LEEWAY_S)
  }
}
