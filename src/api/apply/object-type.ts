import type { ResolveRef } from './schema-type.ts'
import { typeOfSchema } from './schema-type.ts'
import { ATOMIC, keyedListOf, mapOf, SCALAR, setOfScalars as scalars, structType, type Type } from './type.ts'

/** Kubernetes' `ObjectMeta`. An owner reference is owned as a whole; labels and annotations key by key. */
export const METADATA_TYPE: Type = structType({
  annotations: mapOf(SCALAR),
  creationTimestamp: SCALAR,
  deletionGracePeriodSeconds: SCALAR,
  deletionTimestamp: SCALAR,
  finalizers: scalars(),
  generateName: SCALAR,
  generation: SCALAR,
  labels: mapOf(SCALAR),
  managedFields: { list: { relationship: 'atomic', keys: [], element: ATOMIC } },
  name: SCALAR,
  namespace: SCALAR,
  ownerReferences: keyedListOf(
    structType(
      {
        apiVersion: SCALAR,
        blockOwnerDeletion: SCALAR,
        controller: SCALAR,
        kind: SCALAR,
        name: SCALAR,
        uid: SCALAR,
      },
      'atomic',
    ),
    ['uid'],
  ),
  resourceVersion: SCALAR,
  selfLink: SCALAR,
  uid: SCALAR,
})

/**
 * The type of a whole object, from the JSON schemas of its top-level fields, e.g. `{spec, status}`. It costs a walk
 * through the schemas: make it once for each kind.
 */
export function objectType(fields: Readonly<Record<string, unknown>>, resolve?: ResolveRef): Type {
  const types = Object.entries(fields).map(([name, schema]) => [name, typeOfSchema(schema, resolve)] as const)
  return structType({
    ...Object.fromEntries(types),
    apiVersion: SCALAR,
    kind: SCALAR,
    metadata: METADATA_TYPE,
  })
}
