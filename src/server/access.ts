// The store as one principal may use it. Faces of the API get this and never the store itself, so that no write and no
// read can pass around authorization.

import { jsonEqual } from '../api/json-equal.ts'
import { KIND_NAMES, namesOf, qualifiedName } from '../api/kinds/kind-names.ts'
import { KINDS } from '../api/kinds/registry.ts'
import { forCreate, forRemove, forUpdate } from '../api/lifecycle.ts'
import { OWNER_ANNOTATION, sourceKey } from '../api/ownership.ts'
import { type Draft, describeKey, type Key, type Kind, keyOf, type Resource } from '../api/resource.ts'
import type {
  Change,
  Listing,
  ListOptions,
  PageOptions,
  Part,
  RemoveOptions,
  Store,
  WatchOptions,
  Writer,
} from '../core/store.ts'
import type { Clock } from '../lib/clock.ts'
import { Fault, isFault } from '../lib/fault.ts'
import { uuidv7 } from '../lib/ids.ts'
import { type AccessRequest, authorize, type Verb } from './authorization.ts'
import { checkNamespace } from './namespaces.ts'
import { describePrincipal, type Principal } from './principal.ts'
import { checkStatusTransition, describeObject } from './transition.ts'

export interface WriteOptions {
  /** Do everything but store. */
  readonly dryRun?: boolean
  /** Whose the changed fields become. Absent: the object's own managedFields are stored as they are. */
  readonly by?: Writer
}

/** Every method faults with `forbidden` (or `not_found`, where existence itself is none of their business). */
export interface Access {
  readonly principal: Principal
  /** Faults with `not_found`. */
  get<K extends Kind>(key: Key<K>): Promise<Resource<K>>
  list<K extends Kind>(kind: K, options: PageOptions): Promise<Listing<K>>
  watch<K extends Kind>(kind: K, options: WatchOptions, signal: AbortSignal): AsyncIterable<Change<K>>
  /** Sets the owner. Faults with `not_found` and `forbidden` when the namespace does not take new objects. */
  create<K extends Kind>(draft: Draft<K>, options?: WriteOptions): Promise<Resource<K>>
  update<K extends Kind>(next: Resource<K>, part: Part, options?: WriteOptions): Promise<Resource<K>>
  remove<K extends Kind>(key: Key<K>, removal: RemoveOptions, options?: WriteOptions): Promise<Resource<K>>
  /** For actions that are no state: the object, if the principal may do `verb` to it. */
  admit<K extends Kind>(key: Key<K>, verb: 'enter' | 'enroll'): Promise<Resource<K>>
}

export function access(store: Store, clock: Clock, principal: Principal): Access {
  const check = (request: Omit<AccessRequest, 'principal'>, key?: Key) => {
    const decision = authorize({ principal, ...request })
    if (decision.allow) return
    if (decision.hidden && key !== undefined) throw notFound(key)
    throw forbidden(principal, request.verb, request.kind, request.namespace, key, decision.why)
  }
  const load = async <K extends Kind>(key: Key<K>): Promise<Resource<K>> => {
    const object = await store.find(key)
    if (object === undefined) throw notFound(key)
    return object
  }
  const where = (kind: Kind, options: ListOptions) => ({
    kind,
    namespace: options.namespace ?? '',
    ...(options.fields === undefined ? {} : { fields: options.fields }),
  })

  return {
    principal,
    get: async key => {
      const object = await load(key)
      check({ verb: 'get', kind: key.kind, namespace: key.namespace, before: object }, key)
      return object
    },
    list: async (kind, options) => {
      check({ verb: 'list', ...where(kind, options) })
      return store.list(kind, options)
    },
    watch: (kind, options, signal) => {
      check({ verb: 'watch', ...where(kind, options) })
      return store.watch(kind, options, signal)
    },
    create: async (draft, options) => {
      const owned = withOwner(draft, principal)
      const key = keyOf(owned)
      const [subject, blocked, source] = await Promise.all([
        subjectOf(store, principal, owned),
        newlyBlocked(store, owned),
        sourceOf(store, owned),
      ])
      const request = {
        kind: key.kind,
        namespace: key.namespace,
        after: owned,
        blocked,
        ...source,
        ...subject,
      }
      check({ verb: 'create', ...request }, key)
      await checkNamespace(store, key)
      if (!options?.dryRun)
        return store.create(owned, options?.by).catch((error: unknown) => {
          throw isFault(error) && error.reason === 'already_exists' ? alreadyExists(key) : error
        })
      if ((await store.find(key)) !== undefined) throw alreadyExists(key)
      return forCreate(owned, { now: clock.now(), uid: uuidv7(clock.now()) }, options.by)
    },
    update: async (wanted, part, options) => {
      const key = keyOf(wanted)
      const before = await load(key)
      const next = part === 'main' ? withHeld(before, wanted) : wanted
      const verb = part === 'main' ? 'update' : 'update-status'
      const subject = await subjectOf(store, principal, next)
      const blocked = part === 'main' ? await newlyBlocked(store, next, before) : []
      const request = { kind: key.kind, namespace: key.namespace, before, after: next, blocked, ...subject }
      check({ verb, ...request }, key)
      // What was judged must be what is replaced: the store compares this revision again when it writes.
      if (before.metadata.resourceVersion !== next.metadata.resourceVersion) throw conflict(before)
      if (part === 'status') checkStatusTransition(before, next)
      if (!options?.dryRun) return store.update(next, part, options?.by)
      return forUpdate(before, next, part, options.by && { ...options.by, now: clock.now() }).next
    },
    remove: async (key, removal, options) => {
      const before = await load(key)
      check({ verb: 'delete', kind: key.kind, namespace: key.namespace, before }, key)
      const { uid, resourceVersion } = before.metadata
      if (removal.uid !== undefined && removal.uid !== uid) throw conflict(before)
      if (removal.resourceVersion !== undefined && removal.resourceVersion !== resourceVersion)
        throw conflict(before)
      // The uid, so that an object made under the same name in the meantime (perhaps somebody else's) stays.
      return options?.dryRun
        ? forRemove(before, clock.now(), removal.propagation).next
        : store.remove(key, { ...removal, uid })
    },
    admit: async (key, verb) => {
      const before = await load(key)
      check({ verb, kind: key.kind, namespace: key.namespace, before }, key)
      return before
    },
  }
}

/**
 * Owners of `after` that exist and that it begins to block. Looked up by name, as the garbage collector does; of kinds that
 * are not ours there is nothing to protect.
 */
async function newlyBlocked(
  store: Store,
  { metadata }: Draft | Resource,
  before?: Resource,
): Promise<readonly Resource[]> {
  // All of it counts: the same uid under another name may have led nowhere until now.
  const known = before?.metadata.ownerReferences ?? []
  const added = (metadata.ownerReferences ?? []).filter(
    each => each.blockOwnerDeletion && !known.some(other => jsonEqual(other, each)),
  )
  const found = await Promise.all(
    added.map(async ({ kind, name, uid }) => {
      if (!Object.hasOwn(KIND_NAMES, kind)) return []
      const names = KIND_NAMES[kind as Kind]
      const namespace = names.namespaced ? (metadata.namespace ?? '') : ''
      const owner: Resource | undefined = await store.find({ kind: kind as Kind, namespace, name })
      return owner?.metadata.uid === uid ? [owner] : []
    }),
  )
  return found.flat()
}

/** What holds every object of its kind is not the writer's to drop: manifests do not name it. */
function withHeld<K extends Kind>(before: Resource<K>, next: Resource<K>): Resource<K> {
  const { finalizers: held = [] } = KINDS[next.kind] as { finalizers?: readonly string[] }
  const kept = held.filter(each => before.metadata.finalizers?.includes(each))
  if (kept.length === 0) return next
  const finalizers = [...new Set([...(next.metadata.finalizers ?? []), ...kept])]
  return { ...next, metadata: { ...next.metadata, finalizers } }
}

/** What an event is about, for principals who may not tell about everything. */
async function subjectOf(
  store: Store,
  principal: Principal,
  about: Draft | Resource,
): Promise<{ subject?: Resource }> {
  if (about.kind !== 'Event' || principal.kind !== 'runner') return {}
  const { kind, name, uid } = (about as Draft<'Event'>).spec.regarding
  if (kind !== 'Environment' && kind !== 'Snapshot' && kind !== 'Runner') return {}
  const subject = await store.find({ kind, namespace: about.metadata.namespace ?? '', name })
  return subject !== undefined && subject.metadata.uid === uid ? { subject } : {}
}

/** Whose disk it is to be a copy of, if that is there. */
async function sourceOf(store: Store, draft: Draft): Promise<{ source?: Resource }> {
  const key = sourceKey(draft)
  const source: Resource | undefined = key && (await store.find(key))
  return source === undefined ? {} : { source }
}

function withOwner<K extends Kind>(draft: Draft<K>, principal: Principal): Draft<K> {
  if (draft.kind === 'Event') return draft // There are many of them, and nobody needs to own one.
  const owner = principal.kind === 'user' ? principal.name : describePrincipal(principal)
  const annotations = { ...draft.metadata.annotations, [OWNER_ANNOTATION]: owner }
  return { ...draft, metadata: { ...draft.metadata, annotations } }
}

function objectOf({ kind, name }: Key) {
  const { plural, group } = namesOf(kind)
  return { kind: plural, group, name }
}

const NOT_FOUND_HINT = 'list what there is, and check the name and the namespace'

function notFound(key: Key): Fault {
  const object = objectOf(key)
  const message = `${qualifiedName(namesOf(key.kind))} "${key.name}" not found`
  return new Fault('not_found', 'object-not-found', message, { hint: NOT_FOUND_HINT, object })
}

function alreadyExists(key: Key): Fault {
  const object = objectOf(key)
  const message = `${qualifiedName(namesOf(key.kind))} "${key.name}" already exists`
  return new Fault('already_exists', 'object-exists', message, { hint: 'choose another name', object })
}

function conflict(before: Resource): Fault {
  const hint = 'read the object again and apply your change to that'
  const message = `write ${describeKey(keyOf(before))}: it has been changed since it was read`
  return new Fault('conflict', 'object-changed', message, { hint, object: describeObject(before) })
}

function forbidden(
  principal: Principal,
  verb: Verb,
  kind: Kind,
  namespace: string,
  key: Key | undefined,
  why: string,
): Fault {
  const { plural, group } = namesOf(kind)
  const what = key === undefined ? `${plural} in namespace '${namespace}'` : describeKey(key)
  const message = `${verb} ${what}: ${describePrincipal(principal)} may not: ${why}`
  const object = { kind: plural, group, ...(key === undefined ? {} : { name: key.name }) }
  // Nobody may what an administrator may not, but for owners, who alone enter.
  const isAdmin = principal.kind === 'user' && principal.role === 'admin'
  const ask = isAdmin ? undefined : 'ask the owner, or an administrator of the organization'
  const hint = verb === 'enter' ? 'ask the owner' : ask
  return new Fault('forbidden', 'access-denied', message, { ...(hint && { hint }), object })
}
