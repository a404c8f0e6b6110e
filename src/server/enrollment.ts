// How a runner gets in: an administrator makes a one-time token for a Runner object; whoever holds it registers keys.
import { randomBytes } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { compactVerify, errors, importJWK } from 'jose'
import { z } from 'zod'
import { GROUP, VERSION } from '../api/resource.ts'
import type { CredentialStore, LeaseStore } from '../core/credentials.ts'
import type { Clock } from '../lib/clock.ts'
import { Fault } from '../lib/fault.ts'
import type { Access } from './access.ts'
import { type Authenticator, hashSecret } from './authentication.ts'
import { parseObjectBody } from './faces/kube/body.ts'
import { keyOf, serve } from './faces/kube/routes.ts'
import { Problems } from './faces/kube/strict-parse.ts'
import { runnerOf } from './http.ts'
import type { Pki } from './pki/load-pki.ts'

/** How long an enrolment token can be used, once. */
export const ENROLLMENT_LIFE_MS = 24 * 3_600_000
const PROOF_AGE_S = 300

export interface EnrollmentDeps {
  readonly credentials: CredentialStore
  readonly leases: LeaseStore
  readonly authenticator: Authenticator
  readonly pki: Pki
  readonly clock: Clock
  readonly accessOf: (request: FastifyRequest) => Access
  /** Where runners reach this server. */
  readonly url: () => string
  /** Names of the server, which no runner's certificate may carry unless it runs on the same machine. */
  readonly reservedHosts: (address: string) => readonly string[]
}

const publicKey = (crv: 'Ed25519' | 'X25519') =>
  z.object({ kty: z.literal('OKP'), crv: z.literal(crv), x: z.string().regex(/^[A-Za-z0-9_-]{43}$/) })
const csr = z.string().max(16_384)
const hosts = z.array(z.string().max(253)).max(16)

const enrollSchema = z.object({
  secret: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  signingKey: publicKey('Ed25519'),
  sealingKey: publicKey('X25519'),
  proof: z.string().max(4096),
  csr: csr.optional(),
  hosts: hosts.optional(),
})
const certificateSchema = z.object({ csr, hosts })
const proofSchema = z.object({ secretHash: z.string(), aud: z.literal('bothy-enroll'), iat: z.number() })

export function registerEnrollment(app: FastifyInstance, deps: EnrollmentDeps): void {
  const { credentials, pki, clock } = deps
  const runner = `/apis/${GROUP}/${VERSION}/namespaces/:namespace/runners/:name`

  serve(app, `${runner}/enrollment-token`, {
    POST: async (request, reply) => {
      const { metadata } = await deps.accessOf(request).admit(keyOf(request, 'Runner'), 'enroll')
      const secret = randomBytes(32).toString('base64url')
      await credentials.putEnrollmentToken({
        hash: hashSecret(secret),
        runnerUid: metadata.uid,
        namespace: metadata.namespace ?? '',
        name: metadata.name,
        expiresAtMs: clock.now() + ENROLLMENT_LIFE_MS,
      })
      const content = JSON.stringify({ v: 1, server: deps.url(), ca: pki.caFingerprint, secret })
      const token = `bothy-enroll.${Buffer.from(content).toString('base64url')}`
      return reply.code(201).send({ token })
    },
  })

  app.post('/runner/enroll', { config: { public: true } }, async request => {
    deps.authenticator.admitAttempt(request.ip)
    const body = parse(enrollSchema, request)
    const hash = hashSecret(body.secret)
    try {
      await verifyProof(body.proof, body.signingKey, hash, clock.now())
      const identity = await credentials.redeemEnrollment(
        hash,
        { signingKey: JSON.stringify(body.signingKey), sealingKey: JSON.stringify(body.sealingKey) },
        clock.now(),
      )
      if (identity === undefined) throw refused('it is unknown, used or expired')
      const { uid, namespace, name } = identity
      const answer = { runner: { uid, namespace, name }, ca: pki.ca, jwks: pki.jwks }
      if (body.csr === undefined || body.hosts === undefined) return answer
      const reserved = deps.reservedHosts(request.ip)
      const asked = { runnerUid: uid, csr: body.csr, hosts: body.hosts, reserved }
      return { ...answer, certificate: await pki.issueRunnerCertificate(asked) }
    } catch (error) {
      if (error instanceof Fault && error.reason === 'unauthenticated')
        deps.authenticator.countFailure(request.ip)
      throw error
    }
  })

  app.post('/runner/certificate', async request => {
    const { uid } = runnerOf(request)
    const body = parse(certificateSchema, request)
    const reserved = deps.reservedHosts(request.ip)
    return { certificate: await pki.issueRunnerCertificate({ runnerUid: uid, ...body, reserved }) }
  })

  app.post('/runner/lease', async (request, reply) => {
    await deps.leases.renew(runnerOf(request).uid, clock.now())
    return reply.code(204).send()
  })
}

/** That whoever enrols holds the key it brings, and made the proof for this very token. */
async function verifyProof(
  proof: string,
  signingKey: z.infer<typeof enrollSchema>['signingKey'],
  secretHash: string,
  nowMs: number,
): Promise<void> {
  let payload: unknown
  try {
    const key = await importJWK(signingKey, 'EdDSA')
    const verified = await compactVerify(proof, key, { algorithms: ['EdDSA'] })
    payload = JSON.parse(new TextDecoder().decode(verified.payload))
  } catch (cause) {
    if (!(cause instanceof errors.JOSEError) && !(cause instanceof SyntaxError)) throw cause
    throw refused('the proof is not signed by the key that came with it', cause)
  }
  const parsed = proofSchema.safeParse(payload)
  if (!parsed.success || parsed.data.secretHash !== secretHash)
    throw refused('the proof is for something else')
  if (Math.abs(parsed.data.iat - nowMs / 1000) > PROOF_AGE_S)
    throw refused('the proof is too old or of the future: check the clocks of both machines')
}

function parse<T>(schema: z.ZodType<T>, request: FastifyRequest): T {
  const { value } = parseObjectBody(request.headers['content-type'], request.body as Buffer | undefined)
  const problems = new Problems()
  const parsed = problems.parse(schema, value, '')
  if (parsed !== undefined) return parsed
  const said = problems.causes.map(cause => `${cause.field}: ${cause.message}`).join('; ')
  throw new Fault('invalid', 'body-invalid', `read the body: ${said}`, { causes: problems.causes })
}

function refused(why: string, cause?: unknown): Fault {
  const hint = 'ask an administrator for a new enrolment token: one works once, for a day'
  return new Fault(
    'unauthenticated',
    'enrollment-refused',
    `enrol the runner: the token is refused: ${why}`,
    {
      cause,
      hint,
    },
  )
}
