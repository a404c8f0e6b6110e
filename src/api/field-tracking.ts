// Who set which field: the account that `metadata.managedFields` keeps, brought up to date with each write.
import { z } from 'zod'
import { type Millis, timestamp } from '../lib/clock.ts'
import { type ApplyResult, applyConfiguration, trackUpdate } from './apply/managed-fields.ts'
import { objectType } from './apply/object-type.ts'
import type { KindDefinition } from './kinds/kind.ts'
import { apiVersionOf } from './kinds/kind-names.ts'
import { KINDS } from './kinds/registry.ts'
import type { Kind, Resource } from './resource.ts'

export interface FieldWriter {
  readonly manager: string
  readonly now: Millis
}

type ObjectType = ReturnType<typeof objectType>
const types = new Map<Kind, ObjectType>()

/** `next`, written by `by` over `live` (undefined: created), with managedFields that say so. */
export function tracked<K extends Kind>(
  live: Resource<K> | undefined,
  next: Resource<K>,
  part: 'main' | 'status',
  by: FieldWriter,
): Resource<K> {
  const definition = KINDS[next.kind] as KindDefinition<unknown, unknown>
  if (definition.untracked === true) return next
  return trackUpdate({
    type: objectTypeOf(next.kind),
    live,
    next,
    manager: by.manager,
    ...(part === 'status' ? { subresource: 'status' } : {}),
    now: timestamp(by.now),
    apiVersion: apiVersionOf(definition),
  })
}

/**
 * What applying `config` (of the kind's own apiVersion) makes of `live`: an object as it is to be parsed, with its
 * managedFields; or what others own and the config would change. Faults with `invalid` and `malformed`.
 */
export function applied(
  kind: Kind,
  live: Resource | undefined,
  config: Readonly<Record<string, unknown>>,
  part: 'main' | 'status',
  by: FieldWriter & { readonly force: boolean },
): ApplyResult {
  return applyConfiguration({
    type: objectTypeOf(kind),
    live,
    config,
    manager: by.manager,
    force: by.force,
    ...(part === 'status' ? { subresource: 'status' } : {}),
    now: timestamp(by.now),
    apiVersion: apiVersionOf(KINDS[kind]),
  })
}

/** The structure of a kind's objects, for everything that merges them field by field. */
function objectTypeOf(kind: Kind): ObjectType {
  const known = types.get(kind)
  if (known !== undefined) return known
  const { spec, status } = KINDS[kind] as KindDefinition<unknown, unknown>
  const made = objectType({ spec: schemaOf(spec), status: schemaOf(status) })
  types.set(kind, made)
  return made
}

function schemaOf(schema: z.ZodType): object {
  return z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input', unrepresentable: 'any' })
}
