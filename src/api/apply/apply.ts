// Server-side apply on values: who owns which paths, and what becomes of them when somebody writes. Times, names and
// versions of managers are the business of managed-fields.ts.
import { type Comparison, compareValues, filterComparison, SAME } from './compare.ts'
import { fieldSetOf, reconcileSet, withNamedFields } from './field-set.ts'
import { sameValue } from './json.ts'
import { mergeValues } from './merge.ts'
import { difference, EMPTY, intersection, isEmpty, type PathSet, pathsOf, union } from './path-set.ts'
import { type Emptied, removePaths } from './remove.ts'
import type { Type } from './type.ts'

/** What one manager owns. Those who apply give up what they leave out of their next manifest; others never do. */
export interface Ownership {
  readonly set: PathSet
  readonly applied: boolean
}

/** By whatever identifies a manager. */
export type Managers = ReadonlyMap<string, Ownership>

export interface State {
  /** undefined: there is no object yet. */
  readonly object: unknown
  readonly managers: Managers
}

/** One path that a manifest would change and somebody else owns. */
export interface PathConflict {
  readonly manager: string
  readonly path: readonly string[]
}

/** Narrows sets to the paths that a writer can own at all. */
export type Filter = (set: PathSet) => PathSet

export type ApplyOutcome =
  | { readonly outcome: 'ok'; readonly object: unknown; readonly managers: Managers }
  | { readonly outcome: 'conflict'; readonly conflicts: readonly PathConflict[] }

export interface ApplyOptions {
  readonly force?: boolean
  readonly filter?: Filter
  /**
   * Leaves a container that loses its last item empty, where Kubernetes makes it null, and what the manifest says in
   * place, where Kubernetes removes a list that becomes `[]`. Without it the answer is Kubernetes' to the letter, in
   * which the same manifest applied again may change the object once more.
   */
  readonly steady?: boolean
}

const unfiltered: Filter = set => set

/** The managers after `manager` has replaced the object by `next`: it owns what it changed, nobody what is gone. */
export function applyUpdate(
  type: Type,
  state: State,
  next: unknown,
  manager: string,
  filter: Filter = unfiltered,
): Managers {
  const before = reconcileManagers(type, state.managers)
  const comparison = filterComparison(compareValues(type, state.object, next), filter)
  if (comparison === SAME) return withoutEmpty(before)
  const managers = new Map(takeFrom(before, comparison, manager).managers)
  const own = difference(before.get(manager)?.set ?? EMPTY, comparison.removed)
  managers.set(manager, {
    set: filter(union(union(own, comparison.modified), comparison.added)),
    applied: false,
  })
  return withoutEmpty(managers)
}

/**
 * Applies a manifest. What others own and the manifest would change are conflicts, unless `force` takes it from them.
 * What the manager applied last time and leaves out now goes, unless somebody else owns it too.
 */
export function applyConfig(
  type: Type,
  state: State,
  config: unknown,
  manager: string,
  { force = false, filter = unfiltered, steady = false }: ApplyOptions = {},
): ApplyOutcome {
  const before = reconcileManagers(type, state.managers)
  const managers = new Map(before)
  managers.set(manager, { set: filter(fieldSetOf(type, config)), applied: true })
  const merged = mergeValues(type, state.object, config)
  const emptied = steady ? 'empty' : 'null'
  const pruned = prune(type, merged, managers, manager, before.get(manager)?.set ?? EMPTY, emptied)
  const object = steady && pruned !== merged ? mergeValues(type, pruned, config) : pruned
  const comparison = filterComparison(compareValues(type, state.object, object), filter)
  const taken = takeFrom(managers, comparison, manager)
  if (taken.conflicts.length > 0 && !force) return { outcome: 'conflict', conflicts: taken.conflicts }
  return {
    outcome: 'ok',
    object: sameValue(state.object, object) ? state.object : object,
    managers: withoutEmpty(taken.managers),
  }
}

/** What the others keep when these paths change, and where that hurts them. */
function takeFrom(
  managers: Managers,
  { added, modified, removed }: Comparison,
  writer: string,
): { managers: Managers; conflicts: readonly PathConflict[] } {
  const changed = union(modified, added)
  if (isEmpty(changed) && isEmpty(removed)) return { managers, conflicts: [] }
  const conflicts: PathConflict[] = []
  const rest = new Map(managers)
  for (const [manager, { set, applied }] of managers) {
    if (manager === writer) continue
    const lost = intersection(set, changed)
    for (const path of pathsOf(lost)) conflicts.push({ manager, path })
    const left = difference(difference(set, lost), removed)
    if (left !== set) rest.set(manager, { set: left, applied })
  }
  return { managers: rest, conflicts }
}

/** `merged` without what the manager owned and does not apply any more, as far as nobody else owns it. */
function prune(
  type: Type,
  merged: unknown,
  managers: Managers,
  manager: string,
  last: PathSet,
  emptied: Emptied,
): unknown {
  // Whoever still applies all of it has nothing to give up: by far the most frequent case.
  if (isEmpty(difference(last, managers.get(manager)?.set ?? EMPTY))) return merged
  const owned = [...managers.values()].reduce((all, { set }) => union(all, set), EMPTY)
  const present = withNamedFields(fieldSetOf(type, merged), type)
  const lost = withNamedFields(last, type)
  const remaining = (value: unknown): PathSet => withNamedFields(fieldSetOf(type, value), type)

  // Take away all that was applied last time; give back what anybody owns; of what is missing then, only that goes
  // for good which was applied last time: things that nobody owns, below something removed, are not ours to remove.
  const bare = removePaths(type, merged, lost)
  const keep = union(remaining(bare), withNamedFields(owned, type))
  const kept = removePaths(type, merged, difference(present, keep))
  return removePaths(type, merged, intersection(difference(present, remaining(kept)), lost), emptied)
}

function reconcileManagers(type: Type, managers: Managers): Managers {
  let reconciled: Map<string, Ownership> | undefined
  for (const [manager, { set, applied }] of managers) {
    const now = reconcileSet(set, type)
    if (now === set) continue
    reconciled ??= new Map(managers)
    reconciled.set(manager, { set: now, applied })
  }
  return reconciled ?? managers
}

function withoutEmpty(managers: Managers): Managers {
  if (![...managers.values()].some(({ set }) => isEmpty(set))) return managers
  return new Map([...managers].filter(([, { set }]) => !isEmpty(set)))
}
