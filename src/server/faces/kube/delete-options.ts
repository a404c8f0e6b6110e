import { z } from 'zod'
import type { Precondition } from '../../../core/store.ts'
import { Fault } from '../../../lib/fault.ts'
import { parseObjectBody } from './body.ts'
import { oneOf, type Query } from './query.ts'
import { Problems } from './strict-parse.ts'

const schema = z.object({
  apiVersion: z.string().optional(),
  kind: z.literal('DeleteOptions').optional(),
  gracePeriodSeconds: z.int().optional(),
  propagationPolicy: z.string().optional(),
  orphanDependents: z.boolean().optional(),
  dryRun: z.array(z.literal('All')).optional(),
  preconditions: z.object({ uid: z.string().optional(), resourceVersion: z.string().optional() }).optional(),
})

export interface DeleteRequest {
  readonly precondition: Precondition
  readonly dryRun: boolean
}

/** From body and query. Faults with `malformed`, and with `invalid` for a propagation policy other than Background. */
export function parseDeleteOptions(
  contentType: string | undefined,
  body: Buffer | undefined,
  query: Query,
): DeleteRequest {
  const given = body === undefined || body.length === 0 ? {} : parseObjectBody(contentType, body).value
  const problems = new Problems()
  const options = problems.parse(schema, given, '')
  if (options === undefined) {
    const message = problems.causes.map(cause => `${cause.field}: ${cause.message}`).join('; ')
    throw new Fault('malformed', 'delete-options-malformed', `read the delete options: ${message}`)
  }
  const policy = options.propagationPolicy ?? query.get('propagationPolicy') ?? 'Background'
  if (policy !== 'Background' || options.orphanDependents === true) {
    const cause = {
      field: 'propagationPolicy',
      message: `supported values: Background`,
      reason: 'FieldValueNotSupported',
    }
    const hint = 'leave it out: what depends on the object is removed after it'
    throw new Fault(
      'invalid',
      'propagation-unsupported',
      `delete with propagation ${policy}: not supported`,
      {
        causes: [cause],
        hint,
      },
    )
  }
  const { uid, resourceVersion } = options.preconditions ?? {}
  return {
    precondition: {
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
    dryRun: options.dryRun?.includes('All') === true || oneOf(query, 'dryRun', ['All']) === 'All',
  }
}
