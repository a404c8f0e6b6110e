// Who set which field of an object, and what follows when somebody writes it. Pure: time and names are handed in.
import { type ApplyOutcome, applyConfig, applyUpdate } from './apply.ts'
import { type ApplyConflict, describeConflicts } from './conflicts.ts'
import {
  capUpdaters,
  decodeEntries,
  idOf,
  type ManagerIdentity,
  type TrackedManagers,
  withOwnership,
} from './entries.ts'
import { asMap, type JsonMap, own, sameValue } from './json.ts'
import { KUBECTL, pathsLastApplied, withLastApplied } from './last-applied.ts'
import { acceptedConfig, ownableBy } from './ownable.ts'
import { isReset, parseEntries } from './parse-entries.ts'
import { EMPTY, has, sameSet, union } from './path-set.ts'
import {
  bare,
  entriesOf,
  recordedManagers,
  settledEntries,
  type TrackedObject,
  withEntries,
} from './tracked-object.ts'
import type { Type } from './type.ts'

interface Write {
  /** The kind's, from `objectType`. */
  readonly type: Type
  /** What is stored; undefined when the object is being created. */
  readonly live: TrackedObject | undefined
  /** Who writes: `fieldManager`, or what stands before the first `/` of the user agent. */
  readonly manager: string
  /** `status`, or undefined for the object itself. */
  readonly subresource?: string | undefined
  readonly apiVersion: string
  /** RFC 3339, in seconds. */
  readonly now: string
}

export interface UpdateWrite<T extends TrackedObject> extends Write {
  /** The whole object as it is to be stored. Its managedFields, if any, are the client's wish. */
  readonly next: T
}

export interface ApplyWrite extends Write {
  readonly config: JsonMap
  /** Take the fields that others own instead of refusing. */
  readonly force?: boolean | undefined
}

export type ApplyResult =
  /** `live` itself when the manifest changes nothing. */
  | { readonly outcome: 'ok'; readonly object: JsonMap }
  | { readonly outcome: 'conflict'; readonly conflicts: readonly ApplyConflict[] }

/** The manager that owns what was there before anybody kept track. */
const BEFORE_FIRST_APPLY = 'before-first-apply'

/**
 * Records a write that is not an apply: `next` with its managedFields. The writer owns what it changed. When nothing
 * changed the entries are exactly those of `live`. An object without entries stays without until it is first applied.
 * @throws Fault `invalid` when `next` brings entries that cannot be read
 */
export function trackUpdate<T extends TrackedObject>(write: UpdateWrite<T>): T {
  const { live, next } = write
  const start = startOfUpdate(write)
  if (live !== undefined && start.size === 0) return withEntries(next, undefined)
  const managers = capUpdaters(update(write, start, bare(live), bare(next)))
  return withEntries(next, settledEntries(managers, live))
}

/** A status write brings no entries: those of the object stay. */
function startOfUpdate({
  live,
  next,
  subresource = '',
  apiVersion,
}: UpdateWrite<TrackedObject>): TrackedManagers {
  const recorded = entriesOf(live)
  const sent = entriesOf(next)
  if (subresource !== '' || sent === recorded || sameValue(sent, recorded)) {
    return recordedManagers(live, apiVersion)
  }
  if (isReset(sent)) return new Map()
  const entries = parseEntries(sent)
  // Clients that know nothing of managedFields leave them out; that is not to say that nobody owns anything.
  return entries === undefined ? recordedManagers(live, apiVersion) : decodeEntries(entries, apiVersion)
}

// No identity is empty, so this one is free for the write at hand: its own set tells whether it changed anything.
const THIS_WRITE = ''

function update(
  write: Write,
  start: TrackedManagers,
  live: JsonMap | undefined,
  next: JsonMap | undefined,
): TrackedManagers {
  const identity = identityOf(write, 'Update')
  const id = idOf(identity)
  const owners = applyUpdate(
    write.type,
    { object: live, managers: start },
    next,
    THIS_WRITE,
    ownableBy(write.subresource),
  )
  const managers = withOwnership(start, owners)
  const mine = owners.get(THIS_WRITE)
  if (mine === undefined) return managers
  const before = managers.get(id)
  return managers.set(id, {
    ...identity,
    set: union(before?.set ?? EMPTY, mine.set),
    applied: false,
    time: write.now,
    source: start.get(id)?.source,
  })
}

/**
 * Applies a manifest to `live`, or creates the object from it. The outcome is the object before defaults and
 * validation, or the conflicts that stand against it.
 * @throws Fault `malformed` for a manifest with managedFields or of another version; `invalid` for one that cannot be
 *   merged
 */
export function applyConfiguration(write: ApplyWrite): ApplyResult {
  const { type, live, manager, subresource, apiVersion } = write
  const config = acceptedConfig(type, write.config, apiVersion, subresource)
  const before = bare(live)
  const tracked = recordedManagers(live, apiVersion)
  const start =
    before === undefined || tracked.size > 0
      ? tracked
      : update({ ...write, manager: BEFORE_FIRST_APPLY }, tracked, typeMeta(before), before)

  const identity = identityOf(write, 'Apply')
  const id = idOf(identity)
  const attempt = (force: boolean): ApplyOutcome =>
    applyConfig(type, { object: before, managers: start }, config, id, {
      force,
      filter: ownableBy(subresource),
      steady: true,
    })
  let result = attempt(write.force === true)
  if (result.outcome === 'conflict' && manager === KUBECTL && before !== undefined) {
    const allowed = pathsLastApplied(type, before, apiVersion)
    const serious = result.conflicts.filter(({ path }) => !has(allowed, path))
    result = serious.length === 0 ? attempt(true) : { outcome: 'conflict', conflicts: serious }
  }
  if (result.outcome === 'conflict') {
    return { outcome: 'conflict', conflicts: describeConflicts(result.conflicts, start) }
  }

  const managers = withOwnership(start, result.managers)
  const mine = result.managers.get(id)
  const known = start.get(id)
  if (mine !== undefined) {
    const still = known !== undefined && result.object === before && sameSet(known.set, mine.set)
    managers.set(id, { ...identity, ...mine, time: still ? known.time : write.now, source: known?.source })
  }
  const merged = asMap(result.object) ?? {}
  const object = manager === KUBECTL ? withLastApplied(merged, write.config) : merged
  const entries = settledEntries(managers, live)
  if (live !== undefined && object === before && entries === entriesOf(live)) {
    return { outcome: 'ok', object: live as object as JsonMap }
  }
  return {
    outcome: 'ok',
    object: withEntries(object as object as TrackedObject, entries) as object as JsonMap,
  }
}

function identityOf(write: Write, operation: ManagerIdentity['operation']): ManagerIdentity {
  const { manager, apiVersion, subresource = '' } = write
  return {
    manager: manager === '' ? 'unknown' : manager,
    operation,
    apiVersion,
    ...(subresource === '' ? {} : { subresource }),
  }
}

/** An object of the same kind before anything was set. */
function typeMeta(object: JsonMap): JsonMap {
  return { apiVersion: own(object, 'apiVersion'), kind: own(object, 'kind') }
}
