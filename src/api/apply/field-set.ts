// Which paths a value mentions.
import { asList, asMap, keysOf } from './json.ts'
import { fieldElement, fieldName, itemElement } from './path-element.ts'
import { EMPTY, isEmpty, LEAF, node, type PathSet, withMember } from './path-set.ts'
import { fieldType, type ListType, type MapType, shapeOf, type Type } from './type.ts'

/** The paths that somebody owns who says exactly this value: leaves, list items, keys of maps, empty structs. */
export function fieldSetOf(type: Type, value: unknown): PathSet {
  return withMember(mentioned(type, value), false)
}

function mentioned(type: Type, value: unknown): PathSet {
  const shape = shapeOf(type, value)
  if (shape === 'map' && type.map !== undefined) {
    return type.map.relationship === 'atomic' ? LEAF : ofMap(type.map, value)
  }
  if (shape === 'list' && type.list !== undefined) {
    return type.list.relationship === 'atomic' ? LEAF : ofList(type.list, value)
  }
  return LEAF
}

function ofMap(type: MapType, value: unknown): PathSet {
  const map = asMap(value)
  const children = new Map<string, PathSet>()
  for (const key of keysOf(map)) {
    const child = map?.[key]
    const inner = mentioned(fieldType(type, key), child)
    // A declared struct is there because its fields are; a key of a map is there because somebody put it there.
    const counts = !type.fields.has(key) || child === null || isEmptyMap(child)
    const set = counts ? withMember(inner, true) : inner
    if (!isEmpty(set)) children.set(fieldElement(key), set)
  }
  return node(false, children)
}

function ofList(type: ListType, value: unknown): PathSet {
  const children = new Map<string, PathSet>()
  asList(value)?.forEach((item, index) => {
    const element = itemElement(type, item, index)
    // Items that cannot be told apart are owned together, as a whole.
    const set = children.has(element) ? LEAF : withMember(mentioned(type.element, item), true)
    children.set(element, set)
  })
  return children.size === 0 ? EMPTY : node(false, children)
}

function isEmptyMap(value: unknown): boolean {
  const map = asMap(value)
  return map !== undefined && keysOf(map).length === 0
}

/** The set with every declared field that leads to one of its paths: to own `a.b` is to own the struct `a` with others. */
export function withNamedFields(set: PathSet, type: Type | undefined): PathSet {
  if (set.children.size === 0) return set
  let children: Map<string, PathSet> | undefined
  for (const [element, child] of set.children) {
    const name = fieldName(element)
    const below = elementType(type, element)
    const declared = name !== undefined && child.children.size > 0 && type?.map?.fields.has(name) === true
    const inner = withNamedFields(child, below)
    const set = declared ? withMember(inner, true) : inner
    if (set === child) continue
    children ??= new Map()
    children.set(element, set)
  }
  if (children === undefined) return set
  return node(set.member, new Map([...set.children, ...children]))
}

function elementType(type: Type | undefined, element: string): Type | undefined {
  const name = fieldName(element)
  if (name !== undefined) return type?.map === undefined ? undefined : fieldType(type.map, name)
  return element.startsWith('k:') ? type?.list?.element : undefined
}

/**
 * Brings a set that was written under an older schema in line: of what has become owned as a whole, whoever owned a
 * part owns all of it. (The other way round nothing is to be done: the parts get their owners as they are written.)
 */
export function reconcileSet(set: PathSet, type: Type): PathSet {
  const { map, list } = type
  const whole = set.member && set.children.size === 0
  if (whole) return set
  if (map === undefined) {
    if (type.scalar === true || list === undefined) return set
    return list.relationship === 'atomic' ? LEAF : reconcileChildren(set, () => list.element)
  }
  if (map.relationship === 'atomic') return LEAF
  return reconcileChildren(set, element => {
    const name = fieldName(element)
    return name === undefined ? undefined : fieldType(map, name)
  })
}

function reconcileChildren(set: PathSet, typeOf: (element: string) => Type | undefined): PathSet {
  let children: Map<string, PathSet> | undefined
  for (const [element, child] of set.children) {
    const type = typeOf(element)
    const reconciled = type === undefined ? child : reconcileSet(child, type)
    if (reconciled === child) continue
    children ??= new Map(set.children)
    children.set(element, reconciled)
  }
  return children === undefined ? set : node(set.member, children)
}
