// The Ed25519 keys that sign entrance tokens. The first of the file signs; all of them are published, so that a new
// key can be put in front while tokens of the old one are still on their way.
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import {
  type CryptoKey,
  calculateJwkThumbprint,
  createLocalJWKSet,
  errors,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  jwtVerify,
  SignJWT,
} from 'jose'
import { z } from 'zod'
import { type EntranceClaims, entranceClaimsSchema } from '../../api/entrance.ts'
import type { Millis } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import { corruptFile, createFile, findFile } from './files.ts'

/** How long a client has to connect with an entrance token. */
export const ENTRANCE_LIFE_S = 60
const TOLERANCE_S = 5

const privateJwkSchema = z.looseObject({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  x: z.string(),
  d: z.string(),
  kid: z.string().min(1),
})
const fileSchema = z.object({ keys: z.array(privateJwkSchema).min(1).max(2) })

export interface SigningKeys {
  /** The public halves, as `/.well-known/jwks.json` shows them. */
  readonly jwks: { readonly keys: readonly JWK[] }
  /** Signs an entrance token that lives for `ENTRANCE_LIFE_S`. */
  sign(claims: Pick<EntranceClaims, 'aud' | 'sub' | 'env' | 'act'>, nowMs: Millis): Promise<string>
  /** Faults with `unauthenticated` unless the token is ours, meant for `audience` and alive. */
  verify(token: string, audience: string, nowMs: Millis): Promise<EntranceClaims>
}

export async function loadSigningKeys(dir: string): Promise<SigningKeys> {
  const path = join(dir, 'signing-keys.json')
  const text = (await findFile(path)) ?? (await createFile(path, await generateKeyFile()))
  const keys = parseKeyFile(path, text)
  const current = keys[0]!
  let signer: CryptoKey | Uint8Array
  try {
    signer = await importJWK(current as JWK, 'EdDSA')
  } catch (cause) {
    throw corruptFile(path, 'not an Ed25519 key', cause)
  }
  const jwks = {
    keys: keys.map(({ kty, crv, x, kid }): JWK => ({ kty, crv, x, kid, alg: 'EdDSA', use: 'sig' })),
  }
  const published = createLocalJWKSet(jwks)
  return {
    jwks,
    sign: (claims, nowMs) => {
      const iat = Math.floor(nowMs / 1000)
      return new SignJWT({ sub: claims.sub, aud: claims.aud, env: claims.env, act: claims.act })
        .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid: current.kid })
        .setIssuedAt(iat)
        .setExpirationTime(iat + ENTRANCE_LIFE_S)
        .setJti(randomUUID())
        .sign(signer)
    },
    verify: async (token, audience, nowMs) => {
      try {
        const { payload } = await jwtVerify(token, published, {
          algorithms: ['EdDSA'],
          audience,
          currentDate: new Date(nowMs),
          clockTolerance: TOLERANCE_S,
          requiredClaims: ['exp', 'iat', 'jti', 'sub'],
        })
        return entranceClaimsSchema.parse(payload)
      } catch (cause) {
        if (!(cause instanceof errors.JOSEError) && !(cause instanceof z.ZodError)) throw cause
        const hint = 'ask the server for a new one; they are good for one entrance and one minute'
        throw new Fault('unauthenticated', 'entrance-token-refused', 'the entrance token is not valid here', {
          cause,
          hint,
        })
      }
    },
  }
}

async function generateKeyFile(): Promise<string> {
  const { privateKey } = await generateKeyPair('EdDSA', { extractable: true })
  const jwk = await exportJWK(privateKey)
  const kid = (await calculateJwkThumbprint(jwk)).slice(0, 16)
  return `${JSON.stringify({ keys: [{ ...jwk, kid }] }, undefined, 2)}\n`
}

function parseKeyFile(path: string, text: string) {
  try {
    return fileSchema.parse(JSON.parse(text)).keys
  } catch (cause) {
    throw corruptFile(path, 'not a set of one or two Ed25519 keys (JWK)', cause)
  }
}
