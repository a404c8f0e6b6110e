// Entering an environment: what the client asks of the control plane, what it gets, and what it then speaks with the
// runner's gateway. The framing is in `channels.ts`.
import { z } from 'zod'
import { ENTRANCES } from './channels.ts'
import { envVarsSchema } from './names.ts'

export * from './channels.ts'

/** Answer to a POST on the subresource. `urls` are tried in order: the runner's gateway first, then the relay. */
export const entranceGrantSchema = z.object({
  urls: z.array(z.string()).min(1),
  token: z.string(),
  /** PEM of the CA that signed what answers at `urls`. */
  ca: z.string(),
})
export type EntranceGrant = z.infer<typeof entranceGrantSchema>

/** Claims of an entrance token (a JWT, EdDSA, signed by the control plane, verified by the gateway offline). */
export const entranceClaimsSchema = z.object({
  /** `runner:<uid>`: the only runner that accepts it. */
  aud: z.string(),
  /** Who enters: `user:NAME`. */
  sub: z.string(),
  /** Uid of the environment. */
  env: z.string(),
  act: z.enum(ENTRANCES),
  jti: z.string(),
  iat: z.number(),
  exp: z.number(),
})
export type EntranceClaims = z.infer<typeof entranceClaimsSchema>

export const ttySizeSchema = z.strictObject({
  columns: z.int().min(1).max(10_000),
  rows: z.int().min(1).max(10_000),
})

/** First message of an exec (text, JSON): what to run. Not in the URL and not in the token, which get logged. */
export const execRequestSchema = z.strictObject({
  argv: z
    .array(z.string().refine(text => !text.includes('\0'), 'must not contain NUL'))
    .min(1)
    .max(4096),
  cwd: z.string().startsWith('/').max(4096).optional(),
  user: z
    .string()
    .regex(/^[a-z_0-9][a-z0-9_-]{0,31}(:[a-z_0-9][a-z0-9_-]{0,31})?$/)
    .optional(),
  env: envVarsSchema.optional(),
  tty: ttySizeSchema.optional(),
})

/** Last message on the status channel. Like the grant, it may say more to newer readers. */
export const exitSchema = z.union([
  z.object({ code: z.int() }),
  z.object({ signal: z.string(), oomKilled: z.boolean().optional() }),
  z.object({
    fault: z.object({
      reason: z.string(),
      code: z.string(),
      message: z.string(),
      hint: z.string().optional(),
    }),
  }),
])

/** First message of a content upload (text, JSON); the bundle follows on the stdin channel, then `close`. */
export const contentRequestSchema = z.strictObject({ sizeBytes: z.int().min(1).optional() })

/** First message of a log stream (text, JSON); lines come on the stdout channel. */
export const logsRequestSchema = z.strictObject({
  follow: z.boolean().default(false),
  tail: z.int().min(0).optional(),
})
