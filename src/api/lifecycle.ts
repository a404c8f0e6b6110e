// The rules of a resource's life, as pure functions: what a write makes of an object, and what it must not. The store
// applies them to every write; dry runs ask them without one.
//
//   create ──▶ alive ──▶ deleting ──▶ removed       deleting = has a deletionTimestamp, waits for its finalizers
//                └────────(no finalizers)───▲
import { type Millis, timestamp } from '../lib/clock.ts'
import { Fault, type FieldCause } from '../lib/fault.ts'
import { type FieldWriter, tracked } from './field-tracking.ts'
import { jsonEqual, valueAt } from './json-equal.ts'
import { type KindDefinition } from './kinds/kind.ts'
import { apiVersionOf, namesOf } from './kinds/kind-names.ts'
import { KINDS } from './kinds/registry.ts'
import { finalizersFor, type Propagation } from './propagation.ts'
import { parseBytes } from './quantity.ts'
import { type Draft, describeKey, type Kind, keyOf, type Metadata, type Resource } from './resource.ts'

/** `none`: nothing would change. `put`: store `next`. `remove`: the object goes; `next` is its last state. */
export type Effect = 'none' | 'put' | 'remove'

export interface Step<K extends Kind> {
  /** With `current`'s resourceVersion; the store gives a new one when it writes. */
  readonly next: Resource<K>
  readonly effect: Effect
}

/**
 * The object that `draft` becomes: generation 1, the kind's finalizers and empty status, resourceVersion '' (the store
 * gives it).
 * Faults with `invalid` when the namespace is missing, or given for a cluster-wide kind.
 */
export function forCreate<K extends Kind>(
  draft: Draft<K>,
  birth: { now: Millis; uid: string },
  by?: { readonly manager: string },
): Resource<K> {
  const definition = definitionOf(draft.kind)
  const { name, generateName, namespace } = draft.metadata
  if (definition.namespaced !== (namespace !== undefined && namespace !== '')) {
    const message = definition.namespaced ? 'is required' : 'must be absent: the kind is cluster-wide'
    throw refuse('create', draft, undefined, [
      { field: 'metadata.namespace', message, reason: 'FieldValueInvalid' },
    ])
  }
  const metadata: Metadata = {
    name,
    ...(generateName === undefined ? {} : { generateName }),
    ...(namespace === undefined ? {} : { namespace }),
    uid: birth.uid,
    resourceVersion: '',
    generation: 1,
    creationTimestamp: timestamp(birth.now),
    ...writable(withFinalizers(draft.metadata, definition.finalizers)),
  }
  const status = definition.emptyStatus as Resource<K>['status']
  const made = { apiVersion: apiVersionOf(definition), kind: draft.kind, metadata, spec: draft.spec, status }
  return by === undefined ? made : tracked(undefined, made, 'main', { ...by, now: birth.now })
}

/**
 * What writing one half of `next` over `current` does. The other half of `next` is ignored, and so are its generation
 * and resourceVersion (see `checkPrecondition`). What differs becomes `by`'s in the managedFields. Faults with `invalid`, and names every field, when it would change
 * what cannot change.
 */
export function forUpdate<K extends Kind>(
  current: Resource<K>,
  next: Resource<K>,
  part: 'main' | 'status',
  by?: FieldWriter,
): Step<K> {
  if (part === 'status') {
    const { managedFields } = next.metadata
    const metadata = managedFields === undefined ? current.metadata : { ...current.metadata, managedFields }
    return step(current, { ...current, metadata, status: next.status }, part, by)
  }
  const causes = [
    ...identityCauses(current, next),
    ...finalizerCauses(current, next),
    ...specCauses(current, next),
  ]
  if (causes.length > 0) throw refuse('update', current, current.metadata.uid, causes)

  const generation = current.metadata.generation + (jsonEqual(current.spec, next.spec) ? 0 : 1)
  const written: Resource<K> = {
    ...current,
    metadata: { ...withoutWritable(current.metadata), generation, ...writable(next.metadata) },
    spec: next.spec,
  }
  if (current.metadata.deletionTimestamp !== undefined && written.metadata.finalizers === undefined) {
    return { next: written, effect: 'remove' }
  }
  return step(current, written, part, by)
}

/** Equal: nothing to store, and nothing that could be anybody's. */
function step<K extends Kind>(
  current: Resource<K>,
  written: Resource<K>,
  part: 'main' | 'status',
  by: FieldWriter | undefined,
): Step<K> {
  if (jsonEqual(current, written)) return { next: current, effect: 'none' }
  const next = by === undefined ? written : tracked(current, written, part, by)
  return jsonEqual(current, next) ? { next: current, effect: 'none' } : { next, effect: 'put' }
}

/**
 * What asking for deletion does: with finalizers the object starts to wait for them, without it goes at once. Asked again,
 * another `propagation` may still change how it goes.
 */
export function forRemove<K extends Kind>(
  current: Resource<K>,
  now: Millis,
  propagation?: Propagation,
): Step<K> {
  const { deletionTimestamp, generation } = current.metadata
  const finalizers = finalizersFor(current.metadata.finalizers ?? [], propagation)
  if (finalizers.length === 0) return { next: current, effect: 'remove' }
  const begun =
    deletionTimestamp === undefined
      ? { deletionTimestamp: timestamp(now), generation: generation + 1 }
      : undefined
  if (begun === undefined && jsonEqual(finalizers, current.metadata.finalizers))
    return { next: current, effect: 'none' }
  return { next: { ...current, metadata: { ...current.metadata, finalizers, ...begun } }, effect: 'put' }
}

/** Faults with `conflict` when `current` is not the object, or not the state of it, that the writer has in mind. */
export function checkPrecondition(
  verb: 'update' | 'remove',
  current: Resource,
  precondition: { readonly uid?: string | undefined; readonly resourceVersion?: string | undefined },
): void {
  const { uid, resourceVersion } = precondition
  const { metadata } = current
  const what = `${verb} ${describeKey(keyOf(current))}`
  const object = { kind: current.kind, group: groupOf(current.kind), name: metadata.name, uid: metadata.uid }
  if (uid !== undefined && uid !== metadata.uid) {
    const message = `${what}: another object has this name now (uid ${metadata.uid}, not ${uid})`
    throw new Fault('conflict', 'uid-mismatch', message, { hint: 'read the object again', object })
  }
  if (resourceVersion !== undefined && resourceVersion !== metadata.resourceVersion) {
    const message = `${what}: it has changed since revision ${resourceVersion || '(none)'}`
    const hint = 'read the object again and apply your change to its latest state'
    throw new Fault('conflict', 'revision-mismatch', message, { hint, object })
  }
}

// What a write of the main half may change in the metadata. Empty lists and maps are left out, so that `labels: {}` and
// no labels are the same state.
const WRITABLE = ['labels', 'annotations', 'finalizers', 'ownerReferences', 'managedFields'] as const
type Writable = Pick<Metadata, (typeof WRITABLE)[number]>

function writable(metadata: Writable): Writable {
  return Object.fromEntries(
    WRITABLE.map(key => [key, metadata[key]] as const).filter(
      ([, value]) => value !== undefined && value !== null && Object.keys(value).length > 0,
    ),
  )
}

function withFinalizers<M extends Writable>(metadata: M, more: readonly string[] = []): M {
  return more.length === 0
    ? metadata
    : { ...metadata, finalizers: [...new Set([...(metadata.finalizers ?? []), ...more])] }
}

function withoutWritable(metadata: Metadata): Omit<Metadata, keyof Writable> {
  return Object.fromEntries(
    Object.entries(metadata).filter(([key]) => !(WRITABLE as readonly string[]).includes(key)),
  ) as unknown as Omit<Metadata, keyof Writable>
}

function identityCauses(current: Resource, next: Resource): FieldCause[] {
  const before = current.metadata as unknown as Record<string, unknown>
  const after = next.metadata as unknown as Record<string, unknown>
  // Another creationTimestamp is ignored, and so is another deletionTimestamp once there is one, as Kubernetes does:
  // the object keeps its own.
  const begun = current.metadata.deletionTimestamp !== undefined
  const fixed = ['name', 'namespace', 'uid', ...(begun ? [] : ['deletionTimestamp'])]
  // An absent value is kept as it is: writers of manifests name nothing but the name.
  const causes = fixed
    .filter(key => after[key] !== undefined && after[key] !== null && after[key] !== '')
    .filter(key => after[key] !== before[key])
    .map(key => unchangeable(next, `metadata.${key}`))
  return next.kind === current.kind ? causes : [unchangeable(next, 'kind'), ...causes]
}

function finalizerCauses(current: Resource, next: Resource): FieldCause[] {
  if (current.metadata.deletionTimestamp === undefined) return []
  const known = current.metadata.finalizers ?? []
  return (next.metadata.finalizers ?? [])
    .filter(finalizer => !known.includes(finalizer))
    .map(finalizer => ({
      field: 'metadata.finalizers',
      message: `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizer '${finalizer}'`,
      reason: 'FieldValueForbidden',
    }))
}

function specCauses(current: Resource, next: Resource): FieldCause[] {
  const { immutable, setOnce, grows = [] } = definitionOf(current.kind)
  const changed = (path: string) => !jsonEqual(valueAt(current, path), valueAt(next, path))
  return [
    ...immutable.filter(changed).map(path => unchangeable(next, path)),
    ...setOnce
      .filter(path => valueAt(current, path) !== undefined && changed(path))
      .map(path => unchangeable(next, path)),
    ...grows
      .filter(path => isLess(valueAt(next, path), valueAt(current, path)))
      .map(path => unshrinkable(next, path)),
  ]
}

/** Of two sizes; what is absent is no size at all, and less than any. */
function isLess(next: unknown, current: unknown): boolean {
  if (typeof current !== 'string') return false
  return typeof next !== 'string' || parseBytes(next) < parseBytes(current)
}

function unshrinkable(next: Resource, field: string): FieldCause {
  const message = `Invalid value: ${JSON.stringify(valueAt(next, field) ?? null)}: cannot become smaller`
  return { field, message, reason: 'FieldValueInvalid' }
}

/** In Kubernetes' words; of a value that has parts, its type. */
function unchangeable(next: Resource, field: string): FieldCause {
  const value = valueAt(next, field) ?? null
  const shown = value !== null && typeof value === 'object' ? '"object"' : JSON.stringify(value)
  return { field, message: `Invalid value: ${shown}: field is immutable`, reason: 'FieldValueInvalid' }
}

function refuse(
  verb: string,
  subject: { kind: Kind; metadata: { name: string; namespace?: string } },
  uid: string | undefined,
  causes: readonly FieldCause[],
): Fault {
  const { kind } = subject
  const said = causes.map(cause => `${cause.field}: ${cause.message}`).join('; ')
  const object = {
    kind,
    group: groupOf(kind),
    name: subject.metadata.name,
    ...(uid === undefined ? {} : { uid }),
  }
  const hint = 'leave these fields as they are stored, or delete the object and create it anew'
  return new Fault('invalid', 'life-cycle-refused', `${verb} ${describeKey(keyOf(subject))}: ${said}`, {
    causes,
    object,
    ...(verb === 'update' ? { hint } : {}),
  })
}

function groupOf(kind: Kind): string {
  return namesOf(kind).group
}

function definitionOf(kind: Kind): KindDefinition<unknown, unknown> {
  return KINDS[kind] as KindDefinition<unknown, unknown>
}
