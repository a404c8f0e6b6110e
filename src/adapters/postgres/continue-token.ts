// Where a list goes on: after which object, in which snapshot. The token says all of it, so that any server can go on
// with any list, also after a restart. It is no secret and grants nothing: whoever lists is authorized each time.
import { z } from 'zod'
import type { Revision } from '../../core/store.ts'
import { Fault } from '../../lib/fault.ts'

export interface Position {
  /** Of the snapshot. Absent: whatever is the latest by then. */
  readonly at?: Revision | undefined
  readonly namespace: string
  readonly name: string
}

// As much as the database has to be able to compare.
const name = z
  .string()
  .max(253)
  .regex(/^[a-z0-9.-]*$/)
const tokenSchema = z.strictObject({
  v: z.literal(1),
  at: z
    .string()
    .regex(/^[1-9][0-9]{0,17}$/)
    .optional(),
  namespace: name,
  name,
})
const MAX_LENGTH = 2048

export function toToken({ at, namespace, name }: Position): string {
  return Buffer.from(JSON.stringify({ v: 1, at, namespace, name })).toString('base64url')
}

/** Faults with `malformed` unless it is a token for a list of this namespace (undefined: of all). */
export function fromToken(token: string, namespace: string | undefined): Position {
  if (token.length <= MAX_LENGTH && /^[A-Za-z0-9_-]+$/.test(token)) {
    const parsed = tokenSchema.safeParse(parseJson(Buffer.from(token, 'base64url').toString()))
    if (parsed.success && (namespace === undefined || parsed.data.namespace === namespace)) return parsed.data
  }
  const message = 'list: the continue token is not one of ours, or of another list'
  throw new Fault('malformed', 'continue-malformed', message, {
    hint: 'list again without a continue token',
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // No token, which is what the schema says of undefined.
  }
}
