// What changed between two values, as three sets of paths.
import { asList, asMap, keysOf, own, sameValue } from './json.ts'
import { fieldElement, itemElement } from './path-element.ts'
import { EMPTY, isEmpty, LEAF, node, type PathSet, union, withMember } from './path-set.ts'
import { fieldType, type ListType, type MapType, type Shape, shapeOf, type Type } from './type.ts'

export interface Comparison {
  readonly added: PathSet
  readonly modified: PathSet
  readonly removed: PathSet
}

const PARTS = ['added', 'modified', 'removed'] as const

/** Nothing changed. Always this object, so that `===` tells. */
export const SAME: Comparison = { added: EMPTY, modified: EMPTY, removed: EMPTY }

/** No path is in more than one of the sets. `undefined` stands for a value that is not there. */
export function compareValues(type: Type, before: unknown, after: unknown): Comparison {
  return filterComparison(compare(type, before, after), set => withMember(set, false))
}

export function filterComparison(comparison: Comparison, filter: (set: PathSet) => PathSet): Comparison {
  if (comparison === SAME) return SAME
  const { added, modified, removed } = comparison
  return orSame({ added: filter(added), modified: filter(modified), removed: filter(removed) })
}

function compare(type: Type, before: unknown, after: unknown): Comparison {
  if (before === after) return SAME
  const was = shapeOf(type, before)
  const is = shapeOf(type, after)
  if (after === undefined) return compareAs(was, type, before, after)
  if (before === undefined || was === is) return compareAs(is, type, before, after)
  // It changed its shape, where the schema leaves that open: the parts of the old one go, those of the new one come.
  return both(compareAs(was, type, before, after), compareAs(is, type, before, after))
}

function compareAs(shape: Shape, type: Type, before: unknown, after: unknown): Comparison {
  if (shape === 'map' && type.map !== undefined) {
    const left = asMap(before)
    const right = asMap(after)
    const names = keysOf(right)
    const leaf = names.length === 0 && keysOf(left).length === 0
    if (type.map.relationship === 'granular' && !leaf) {
      return withSelf(compareMaps(type.map, left, right, names), before, after)
    }
  } else if (shape === 'list' && type.list !== undefined) {
    const left = asList(before) ?? []
    const right = asList(after) ?? []
    if (type.list.relationship === 'associative' && left.length + right.length > 0) {
      return withSelf(compareLists(type.list, left, right), before, after)
    }
  }
  return compareLeaves(before, after)
}

function compareLeaves(before: unknown, after: unknown): Comparison {
  if (before === undefined) return { ...SAME, added: LEAF }
  if (after === undefined) return { ...SAME, removed: LEAF }
  return sameValue(before, after) ? SAME : { ...SAME, modified: LEAF }
}

// A container comes and goes itself too, not only its parts.
function withSelf(comparison: Comparison, before: unknown, after: unknown): Comparison {
  if (before === undefined) return { ...comparison, added: withMember(comparison.added, true) }
  if (after === undefined) return { ...comparison, removed: withMember(comparison.removed, true) }
  return comparison
}

function compareMaps(
  type: MapType,
  before: ReturnType<typeof asMap>,
  after: ReturnType<typeof asMap>,
  names: readonly string[],
): Comparison {
  const parts = new Collector()
  for (const name of names) {
    parts.add(fieldElement(name), compare(fieldType(type, name), own(before, name), after?.[name]))
  }
  for (const name of keysOf(before)) {
    if (own(after, name) !== undefined) continue
    parts.add(fieldElement(name), compare(fieldType(type, name), before?.[name], undefined))
  }
  return parts.comparison()
}

function compareLists(type: ListType, before: readonly unknown[], after: readonly unknown[]): Comparison {
  const parts = new Collector()
  const left = groupItems(type, before)
  const right = groupItems(type, after)
  for (const [element, items] of left) {
    parts.add(element, compareItems(type.element, items, right.get(element) ?? []))
  }
  for (const [element, items] of right) {
    if (!left.has(element)) parts.add(element, compareItems(type.element, [], items))
  }
  return parts.comparison()
}

function groupItems(type: ListType, items: readonly unknown[]): Map<string, unknown[]> {
  const groups = new Map<string, unknown[]>()
  items.forEach((item, index) => {
    const element = itemElement(type, item, index)
    const group = groups.get(element)
    if (group === undefined) groups.set(element, [item])
    else group.push(item)
  })
  return groups
}

// Items that share a key are looked at as one whole: nobody can own a part of one of them.
function compareItems(type: Type, before: readonly unknown[], after: readonly unknown[]): Comparison {
  if (before.length <= 1 && after.length <= 1) return compare(type, before[0], after[0])
  if (before.length > 1 && after.length > 1) {
    return sameValue(before, after) ? SAME : { ...SAME, modified: LEAF }
  }
  if (before.length > 1) {
    const rest = after.length === 0 ? SAME : compare(type, undefined, after[0])
    return { ...rest, removed: LEAF }
  }
  const gone = before.length === 0 ? SAME : compare(type, before[0], undefined)
  return { ...gone, added: LEAF }
}

function both(a: Comparison, b: Comparison): Comparison {
  if (a === SAME) return b
  if (b === SAME) return a
  return {
    added: union(a.added, b.added),
    modified: union(a.modified, b.modified),
    removed: union(a.removed, b.removed),
  }
}

function orSame(comparison: Comparison): Comparison {
  return PARTS.every(part => isEmpty(comparison[part])) ? SAME : comparison
}

/** Puts the comparisons of a container's parts together. */
class Collector {
  readonly #children: Record<(typeof PARTS)[number], Map<string, PathSet> | undefined> = {
    added: undefined,
    modified: undefined,
    removed: undefined,
  }
  #any = false

  add(element: string, comparison: Comparison): void {
    if (comparison === SAME) return
    this.#any = true
    for (const part of PARTS) {
      if (isEmpty(comparison[part])) continue
      const children = this.#children[part] ?? new Map<string, PathSet>()
      children.set(element, comparison[part])
      this.#children[part] = children
    }
  }

  comparison(): Comparison {
    if (!this.#any) return SAME
    const { added, modified, removed } = this.#children
    return { added: ofChildren(added), modified: ofChildren(modified), removed: ofChildren(removed) }
  }
}

function ofChildren(children: Map<string, PathSet> | undefined): PathSet {
  return children === undefined ? EMPTY : node(false, children)
}
