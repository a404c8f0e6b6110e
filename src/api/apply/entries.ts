// `metadata.managedFields` and the sets of paths behind it.
import type { ManagedFieldsEntry } from '../resource.ts'
import type { Managers, Ownership } from './apply.ts'
import { parseFieldsV1, toFieldsV1 } from './fields-v1.ts'
import { compareText } from './json.ts'
import { EMPTY, type PathSet, sameSet, union } from './path-set.ts'

type Operation = ManagedFieldsEntry['operation']

/** Who writes, and through which door. */
export interface ManagerIdentity {
  readonly manager: string
  readonly operation: Operation
  readonly apiVersion: string
  readonly subresource?: string
}

/** One entry, taken apart. `source` is what it was read from. */
export interface TrackedManager extends ManagerIdentity, Ownership {
  readonly time: string | undefined
  readonly source: { readonly entry: ManagedFieldsEntry; readonly set: PathSet } | undefined
}

/** By identity, see `idOf`. */
export type TrackedManagers = ReadonlyMap<string, TrackedManager>

/**
 * What tells managers apart. An applier is the same one whatever version it applies; the time never counts. Its text
 * is that of kube-apiserver, since it decides the order of conflicts and which of equally old entries goes first.
 */
export function idOf({ manager, operation, apiVersion, subresource }: ManagerIdentity): string {
  return JSON.stringify({
    manager,
    operation,
    ...(operation === 'Update' ? { apiVersion } : {}),
    ...(subresource === undefined || subresource === '' ? {} : { subresource }),
  })
}

/**
 * The managers that these entries tell of. Those of another version are gone with it: their paths may not exist in
 * this one.
 * @throws SyntaxError when a set of fields is malformed
 */
export function decodeEntries(entries: readonly ManagedFieldsEntry[], apiVersion: string): TrackedManagers {
  const managers = new Map<string, TrackedManager>()
  for (const entry of entries) {
    if (entry.apiVersion !== apiVersion) continue
    const set = parseFieldsV1(entry.fieldsV1)
    const { manager, operation, subresource, time } = entry
    const identity = { manager, operation, apiVersion, ...(subresource === undefined ? {} : { subresource }) }
    managers.set(idOf(identity), {
      ...identity,
      set,
      applied: operation === 'Apply',
      time,
      source: { entry, set },
    })
  }
  return managers
}

/** In the order in which kube-apiserver writes them: appliers first, then by time, by name. */
export function encodeEntries(managers: TrackedManagers): ManagedFieldsEntry[] {
  return [...managers.values()].map(encodeEntry).sort(compareEntries)
}

function encodeEntry(tracked: TrackedManager): ManagedFieldsEntry {
  const { manager, operation, apiVersion, subresource, set, time, source } = tracked
  if (source !== undefined && source.entry.time === time && sameSet(source.set, set)) return source.entry
  return {
    manager,
    operation,
    apiVersion,
    ...(time === undefined ? {} : { time }),
    fieldsType: 'FieldsV1',
    fieldsV1: toFieldsV1(set),
    ...(subresource === undefined || subresource === '' ? {} : { subresource }),
  }
}

function compareEntries(a: ManagedFieldsEntry, b: ManagedFieldsEntry): number {
  return (
    compareText(a.operation, b.operation) ||
    secondsOf(a.time) - secondsOf(b.time) ||
    compareText(a.manager, b.manager) ||
    compareText(a.apiVersion, b.apiVersion) ||
    compareText(a.subresource ?? '', b.subresource ?? '')
  )
}

function secondsOf(time: string | undefined): number {
  return time === undefined ? 0 : Math.floor(Date.parse(time) / 1000)
}

/** The managers after a write: `managers` says what they own now, `before` who they are. */
export function withOwnership(before: TrackedManagers, managers: Managers): Map<string, TrackedManager> {
  const after = new Map<string, TrackedManager>()
  for (const [id, { set }] of managers) {
    const known = before.get(id)
    if (known !== undefined) after.set(id, known.set === set ? known : { ...known, set })
  }
  return after
}

/** kube-apiserver's number. Appliers are not counted: what they own must stay theirs. */
const UPDATERS_KEPT = 10

/** Not more than so many updaters: the oldest become one. */
export function capUpdaters(managers: TrackedManagers): TrackedManagers {
  const updaters = [...managers].filter(([, { operation }]) => operation === 'Update')
  const excess = updaters.length - UPDATERS_KEPT
  const [, sample] = updaters[0] ?? []
  if (excess <= 0 || sample === undefined) return managers

  const bucket = { manager: 'ancient-changes', operation: 'Update', apiVersion: sample.apiVersion } as const
  const bucketId = idOf(bucket)
  const known = managers.get(bucketId)
  const oldest = updaters
    .filter(([id]) => id !== bucketId)
    .sort(([a, left], [b, right]) => secondsOf(left.time) - secondsOf(right.time) || compareText(a, b))
    .slice(0, known === undefined ? excess + 1 : excess)

  const rest = new Map(managers)
  for (const [id] of oldest) rest.delete(id)
  const set = oldest.reduce((all, [, each]) => union(all, each.set), known?.set ?? EMPTY)
  const time = oldest.at(-1)?.[1].time
  return rest.set(bucketId, { ...bucket, set, applied: false, time, source: known?.source })
}
