// Takes paths out of a value.
import { asList, asMap, keysOf, put } from './json.ts'
import { fieldElement, itemElement } from './path-element.ts'
import { EMPTY, isEmpty, type PathSet } from './path-set.ts'
import { fieldType, type ListType, type MapType, shapeOf, type Type } from './type.ts'

/**
 * The value without these paths; itself when there is nothing to remove. A container that loses its last item without
 * being removed itself becomes null, as in Kubernetes: it is still somebody's, and holds nothing.
 */
export function removePaths(type: Type, value: unknown, paths: PathSet): unknown {
  if (paths.children.size === 0) return value
  const shape = shapeOf(type, value)
  if (shape === 'map' && type.map !== undefined) {
    return type.map.relationship === 'atomic' ? null : removeFields(type.map, value, paths)
  }
  if (shape === 'list' && type.list !== undefined) {
    return type.list.relationship === 'atomic' ? null : removeItems(type.list, value, paths)
  }
  return value
}

function removeFields(type: MapType, value: unknown, paths: PathSet): unknown {
  const map = asMap(value)
  const rest: Record<string, unknown> = {}
  let kept = 0
  let same = true
  for (const name of keysOf(map)) {
    const below = paths.children.get(fieldElement(name)) ?? EMPTY
    if (below.member) {
      same = false
      continue
    }
    const before = map?.[name]
    const after = isEmpty(below) ? before : removePaths(fieldType(type, name), before, below)
    if (after !== before) same = false
    put(rest, name, after)
    kept += 1
  }
  if (kept === 0) return null
  return same ? map : rest
}

function removeItems(type: ListType, value: unknown, paths: PathSet): unknown {
  const list = asList(value) ?? []
  const rest: unknown[] = []
  list.forEach((item, index) => {
    const below = paths.children.get(itemElement(type, item, index)) ?? EMPTY
    if (!below.member) rest.push(isEmpty(below) ? item : removePaths(type.element, item, below))
  })
  if (rest.length === 0) return null
  return rest.length === list.length && rest.every((item, index) => item === list[index]) ? list : rest
}
