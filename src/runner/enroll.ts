import { createHash } from 'node:crypto'
import { access, constants, mkdir } from 'node:fs/promises'
import { CompactSign, exportJWK, generateKeyPair, type JWK } from 'jose'
import { z } from 'zod'
import { createClient } from '../client/create-client.ts'
import { fetchPinnedCa } from '../client/fetch-pinned-ca.ts'
import { type Clock, systemClock } from '../lib/clock.ts'
import { failpoint } from '../lib/failpoint.ts'
import { Fault } from '../lib/fault.ts'
import { type RunnerIdentityFile, saveIdentity } from './identity.ts'

const PREFIX = 'bothy-enroll.'

const tokenSchema = z.object({
  v: z.literal(1),
  server: z.string(),
  /** SHA-256 of the DER of the server's CA, in hexadecimal. */
  ca: z.string().regex(/^[0-9a-f]{64}$/),
  secret: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
})
export type EnrollmentTokenParts = z.infer<typeof tokenSchema>

const answerSchema = z.object({
  runner: z.object({ uid: z.string(), namespace: z.string(), name: z.string() }),
  ca: z.string(),
  jwks: z.object({ keys: z.array(z.record(z.string(), z.unknown())) }),
})

/** Faults with `invalid`; the message never repeats the token. */
export function parseEnrollmentToken(text: string): EnrollmentTokenParts {
  const refuse = (why: string, cause?: unknown) =>
    new Fault('invalid', 'enrollment-token-invalid', `read the enrolment token: ${why}`, {
      cause,
      hint: "give the whole text that 'bothy' printed, from a file or on standard input",
    })
  const trimmed = text.trim()
  if (!trimmed.startsWith(PREFIX)) throw refuse(`it does not start with '${PREFIX}'`)
  try {
    return tokenSchema.parse(
      JSON.parse(Buffer.from(trimmed.slice(PREFIX.length), 'base64url').toString('utf8')),
    )
  } catch (cause) {
    throw refuse('it is cut off or altered', cause)
  }
}

export interface EnrollOptions {
  /** Where to reach the server from here, if not at the address that the token names. */
  readonly server?: string
  readonly token: string
  /** Receives `identity.json`. */
  readonly dir: string
  readonly clock?: Clock
}

/**
 * Makes this machine a runner: checks that the server is the token's, makes the keys, redeems the token with proof that
 * they are in hand, and stores the identity. Faults with `invalid` (token), `forbidden` (another server answers),
 * `unauthenticated` (token used, expired or unknown), `unavailable`.
 */
export async function enrollRunner(options: EnrollOptions): Promise<RunnerIdentityFile> {
  const { dir, clock = systemClock } = options
  const parts = parseEnrollmentToken(options.token)
  const server = options.server ?? parts.server
  // A token is good once: that its fruit can be stored is made sure of before.
  await mkdir(dir, { recursive: true, mode: 0o700 })
  await access(dir, constants.W_OK).catch(cause => {
    throw new Fault('forbidden', 'identity-folder', `write to ${dir}: not permitted`, {
      cause,
      hint: 'choose another folder',
    })
  })
  const ca = await fetchPinnedCa(server, parts.ca)
  const signing = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true })
  const sealing = await generateKeyPair('ECDH-ES', { crv: 'X25519', extractable: true })
  const proof = await new CompactSign(
    Buffer.from(
      JSON.stringify({
        secretHash: createHash('sha256').update(parts.secret).digest('hex'),
        aud: 'bothy-enroll',
        iat: Math.floor(clock.now() / 1000),
      }),
    ),
  )
    .setProtectedHeader({ alg: 'EdDSA' })
    .sign(signing.privateKey)

  const client = createClient({ server, ca, credential: () => '' })
  try {
    const body = {
      secret: parts.secret,
      signingKey: await exportJWK(signing.publicKey),
      sealingKey: await exportJWK(sealing.publicKey),
      proof,
    }
    const answer = answerSchema.parse(await client.request('POST', '/runner/enroll', { body }))
    const identity: RunnerIdentityFile = {
      v: 1,
      server,
      // The one that was proven, whatever the answer says.
      ca,
      runner: answer.runner,
      signingKey: (await exportJWK(signing.privateKey)) as Record<string, unknown>,
      sealingKey: (await exportJWK(sealing.privateKey)) as Record<string, unknown>,
      jwks: { keys: answer.jwks.keys as (JWK & Record<string, unknown>)[] },
    }
    failpoint('runner.redeemed')
    await saveIdentity(dir, identity)
    return identity
  } finally {
    await client.close()
  }
}
