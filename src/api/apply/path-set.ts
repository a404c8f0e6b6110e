// An immutable set of paths, as a tree: a node says whether the path that leads to it is in the set, and leads on.
// Operations give back their first operand when they change nothing, so that `===` tells.
import { sortElements } from './path-element.ts'

export interface PathSet {
  /** Whether the path to this node is in the set. Of a whole set's root it means nothing: nobody owns "everything". */
  readonly member: boolean
  /** By element, see path-element.ts. No node is empty. */
  readonly children: ReadonlyMap<string, PathSet>
}

const NONE: PathSet['children'] = new Map()

export const EMPTY: PathSet = { member: false, children: NONE }
export const LEAF: PathSet = { member: true, children: NONE }

/** A node from parts; `children` is not to be changed afterwards and may hold empty nodes no more than a set does. */
export function node(member: boolean, children: ReadonlyMap<string, PathSet>): PathSet {
  if (children.size > 0) return { member, children }
  return member ? LEAF : EMPTY
}

export function withMember(set: PathSet, member: boolean): PathSet {
  return set.member === member ? set : node(member, set.children)
}

export function isEmpty(set: PathSet): boolean {
  return !set.member && set.children.size === 0
}

/** The set that holds these paths, each a list of elements. */
export function setOf(...paths: readonly (readonly string[])[]): PathSet {
  return paths.reduce<PathSet>(
    (set, path) =>
      union(
        set,
        path.reduceRight((inner, element) => node(false, new Map([[element, inner]])), LEAF),
      ),
    EMPTY,
  )
}

export function has(set: PathSet, path: readonly string[]): boolean {
  let at: PathSet | undefined = set
  for (const element of path) at = at?.children.get(element)
  return at?.member === true && path.length > 0
}

export function union(a: PathSet, b: PathSet): PathSet {
  if (a === b || isEmpty(b)) return a
  if (isEmpty(a)) return b
  let children: Map<string, PathSet> | undefined
  for (const [element, theirs] of b.children) {
    const ours = a.children.get(element)
    const both = ours === undefined ? theirs : union(ours, theirs)
    if (both === ours) continue
    children ??= new Map(a.children)
    children.set(element, both)
  }
  const member = a.member || b.member
  return children === undefined && member === a.member ? a : node(member, children ?? a.children)
}

export function intersection(a: PathSet, b: PathSet): PathSet {
  if (a === b) return a
  const children = new Map<string, PathSet>()
  let same = true
  for (const [element, ours] of a.children) {
    const theirs = b.children.get(element)
    const both = theirs === undefined ? EMPTY : intersection(ours, theirs)
    if (both !== ours) same = false
    if (!isEmpty(both)) children.set(element, both)
  }
  const member = a.member && b.member
  return same && member === a.member ? a : node(member, children)
}

/** The paths of `a` that are not in `b`; each path for itself: a parent does not take its children along. */
export function difference(a: PathSet, b: PathSet): PathSet {
  return subtract(a, b, difference)
}

/** Like `difference`, but what lies below a path of `b` goes too. */
export function recursiveDifference(a: PathSet, b: PathSet): PathSet {
  return subtract(a, b, (ours, theirs) => (theirs.member ? EMPTY : recursiveDifference(ours, theirs)))
}

function subtract(a: PathSet, b: PathSet, below: (ours: PathSet, theirs: PathSet) => PathSet): PathSet {
  if (isEmpty(a) || isEmpty(b)) return a
  let children: Map<string, PathSet> | undefined
  for (const [element, theirs] of b.children) {
    const ours = a.children.get(element)
    if (ours === undefined) continue
    const rest = below(ours, theirs)
    if (rest === ours) continue
    children ??= new Map(a.children)
    if (isEmpty(rest)) children.delete(element)
    else children.set(element, rest)
  }
  const member = a.member && !b.member
  return children === undefined && member === a.member ? a : node(member, children ?? a.children)
}

export function sameSet(a: PathSet, b: PathSet): boolean {
  if (a === b) return true
  if (a.member !== b.member || a.children.size !== b.children.size) return false
  for (const [element, ours] of a.children) {
    const theirs = b.children.get(element)
    if (theirs === undefined || !sameSet(ours, theirs)) return false
  }
  return true
}

/** Every path, in the order in which Kubernetes lists them: at each node first the members, then what is below. */
export function* pathsOf(set: PathSet, prefix: readonly string[] = []): Generator<readonly string[]> {
  const children = sortedChildren(set)
  for (const [element, child] of children) if (child.member) yield [...prefix, element]
  for (const [element, child] of children) yield* pathsOf(child, [...prefix, element])
}

export function sortedChildren(set: PathSet): [string, PathSet][] {
  return sortElements(set.children.keys()).map(element => [element, set.children.get(element) ?? EMPTY])
}
