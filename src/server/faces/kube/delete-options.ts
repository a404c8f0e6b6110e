// How something is to be deleted: what kubectl sends as the body of a DELETE, and others in its query.
import { z } from 'zod'
import { PROPAGATIONS, type Propagation } from '../../../api/propagation.ts'
import type { RemoveOptions } from '../../../core/store.ts'
import { Fault, type FieldCause } from '../../../lib/fault.ts'
import { parseObjectBody } from './body.ts'
import { type Query, refuseOptions } from './query.ts'
import { Problems } from './strict-parse.ts'

// Fields that are not named here mean nothing to us, as they mean nothing to older servers.
const schema = z.object({
  apiVersion: z.string().optional(),
  kind: z.literal('DeleteOptions').optional(),
  // Nothing here ends gracefully on request: environments are stopped by their runner, in its own time.
  gracePeriodSeconds: z.int().nullish(),
  propagationPolicy: z.string().nullish(),
  orphanDependents: z.boolean().nullish(),
  dryRun: z.array(z.string()).nullish(),
  preconditions: z.object({ uid: z.string().nullish(), resourceVersion: z.string().nullish() }).nullish(),
})
type DeleteOptions = z.infer<typeof schema>

export interface DeleteRequest {
  readonly removal: RemoveOptions
  readonly dryRun: boolean
}

/**
 * What the body says goes; what it leaves unsaid is taken from the query. Faults with `malformed`, and with `invalid` for
 * what no server knows.
 */
export function parseDeleteOptions(
  contentType: string | undefined,
  body: Buffer | undefined,
  query: Query,
): DeleteRequest {
  const given = body === undefined || body.length === 0 ? {} : parseObjectBody(contentType, body).value
  const options = { ...parse(fromQuery(query)), ...withoutNull(parse(given)) }
  const causes = causesOf(options)
  if (causes.length > 0) throw refuseOptions('DeleteOptions', causes)
  const propagation = propagationOf(options)
  const { uid, resourceVersion } = options.preconditions ?? {}
  return {
    removal: {
      ...(uid ? { uid } : {}),
      ...(resourceVersion ? { resourceVersion } : {}),
      ...(propagation === undefined ? {} : { propagation }),
    },
    // Wherever it is said: who wants to try and is not heard loses an object.
    dryRun: (options.dryRun ?? []).length > 0 || query.has('dryRun', 'All'),
  }
}

function parse(value: unknown): DeleteOptions {
  const problems = new Problems()
  const options = problems.parse(schema, value, '')
  if (options !== undefined) return options
  const message = problems.causes.map(cause => `${cause.field}: ${cause.message}`).join('; ')
  throw new Fault('malformed', 'delete-options-malformed', `read the delete options: ${message}`)
}

/** As far as they are legible; the schema says what is wrong with the others. */
function fromQuery(query: Query): object {
  const word = (name: string) => query.get(name) || undefined
  const [grace, orphan, dryRun] = [
    word('gracePeriodSeconds'),
    word('orphanDependents'),
    query.getAll('dryRun'),
  ]
  const number = grace !== undefined && /^-?[0-9]{1,10}$/.test(grace) ? Number(grace) : grace
  const truth = { true: true, '1': true, false: false, '0': false }[orphan ?? ''] ?? orphan
  return {
    gracePeriodSeconds: number,
    propagationPolicy: word('propagationPolicy'),
    orphanDependents: truth,
    ...(dryRun.length > 0 ? { dryRun } : {}),
  }
}

function causesOf({ propagationPolicy, orphanDependents, dryRun }: DeleteOptions): FieldCause[] {
  const causes: FieldCause[] = []
  const policy = JSON.stringify(propagationPolicy)
  if ((propagationPolicy ?? undefined) !== undefined && (orphanDependents ?? undefined) !== undefined)
    causes.push({
      field: 'propagationPolicy',
      message: `Invalid value: ${policy}: orphanDependents and deletionPropagation cannot be both set`,
      reason: 'FieldValueInvalid',
    })
  if ((propagationPolicy ?? undefined) !== undefined && !isPropagation(propagationPolicy))
    causes.push({
      field: 'propagationPolicy',
      message: `Unsupported value: ${policy}: supported values: "Foreground", "Background", "Orphan", "nil"`,
      reason: 'FieldValueNotSupported',
    })
  if ((dryRun ?? []).some(each => each !== 'All'))
    causes.push({
      field: 'dryRun',
      message: `Unsupported value: ${JSON.stringify(dryRun)}: supported values: "All"`,
      reason: 'FieldValueNotSupported',
    })
  return causes
}

function propagationOf({ propagationPolicy, orphanDependents }: DeleteOptions): Propagation | undefined {
  if (isPropagation(propagationPolicy)) return propagationPolicy
  if ((orphanDependents ?? undefined) === undefined) return undefined
  return orphanDependents === true ? 'Orphan' : 'Background'
}

function isPropagation(value: unknown): value is Propagation {
  return (PROPAGATIONS as readonly unknown[]).includes(value)
}

function withoutNull(options: DeleteOptions): DeleteOptions {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => (value ?? undefined) !== undefined),
  ) as DeleteOptions
}
