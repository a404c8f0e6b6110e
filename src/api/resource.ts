// Resources in Kubernetes' API conventions: a record with apiVersion, kind, metadata, spec and status.
import { GROUP, VERSION } from './kinds/kind-names.ts'
import type { Kinds } from './kinds/registry.ts'

export { GROUP, VERSION }
/** Of Bothy's own kinds. */
export const API_VERSION = `${GROUP}/${VERSION}`

export type Kind = keyof Kinds
export type SpecOf<K extends Kind> = Kinds[K]['spec']
export type StatusOf<K extends Kind> = Kinds[K]['status']

/** Names one object. `namespace` is the organization; it is '' for cluster-wide kinds. */
export interface Key<K extends Kind = Kind> {
  readonly kind: K
  readonly namespace: string
  readonly name: string
}

export interface OwnerReference {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly controller?: boolean
  readonly blockOwnerDeletion?: boolean
}

export interface Metadata {
  readonly name: string
  /** What the name was made from, if the server made it. */
  readonly generateName?: string
  /** Absent on cluster-wide kinds. */
  readonly namespace?: string
  readonly uid: string
  /** Decimal, ordered over all objects in commit order. */
  readonly resourceVersion: string
  /** 1 at creation; moves when the spec changes and when deletion starts, and only then. */
  readonly generation: number
  readonly creationTimestamp: string
  readonly deletionTimestamp?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly finalizers?: readonly string[]
  readonly ownerReferences?: readonly OwnerReference[]
  /** Who set which field: see `apply/`. */
  readonly managedFields?: readonly ManagedFieldsEntry[]
}

/** The fields that one manager set by one way of writing. */
export interface ManagedFieldsEntry {
  readonly manager: string
  readonly operation: 'Apply' | 'Update'
  readonly apiVersion: string
  readonly time?: string
  readonly fieldsType: 'FieldsV1'
  readonly fieldsV1: Readonly<Record<string, unknown>>
  readonly subresource?: string
}

export interface Resource<K extends Kind = Kind> {
  readonly apiVersion: string
  readonly kind: K
  readonly metadata: Metadata
  readonly spec: SpecOf<K>
  /** Kinds start with their schema's empty status; it is always present on what the store returns. */
  readonly status: StatusOf<K>
}

/** What a writer hands over to be created; the store fills in the rest. */
export interface Draft<K extends Kind = Kind> {
  readonly kind: K
  readonly metadata: Pick<
    Metadata,
    | 'name'
    | 'generateName'
    | 'namespace'
    | 'labels'
    | 'annotations'
    | 'finalizers'
    | 'ownerReferences'
    | 'managedFields'
  >
  readonly spec: SpecOf<K>
}

export function keyOf<K extends Kind>(resource: {
  kind: K
  metadata: { name: string; namespace?: string }
}): Key<K> {
  return { kind: resource.kind, namespace: resource.metadata.namespace ?? '', name: resource.metadata.name }
}

/** `environment default/calm-otter`, for messages. */
export function describeKey(key: Key): string {
  const path = key.namespace === '' ? key.name : `${key.namespace}/${key.name}`
  return `${key.kind.toLowerCase()} ${path}`
}
