// Takes paths out of a value.
import { asList, asMap, type JsonMap, keysOf, put } from './json.ts'
import { fieldElement, itemElement } from './path-element.ts'
import { EMPTY, isEmpty, type PathSet } from './path-set.ts'
import { fieldType, type ListType, type MapType, shapeOf, type Type } from './type.ts'

/**
 * What becomes of a container that loses its last item without being removed itself: it is still somebody's. In
 * Kubernetes it becomes null (which typed objects read as absent); `empty` leaves `{}` or `[]`, which every schema of a
 * container takes.
 */
export type Emptied = 'null' | 'empty'

/** The value without these paths; itself when there is nothing to remove. */
export function removePaths(type: Type, value: unknown, paths: PathSet, emptied: Emptied = 'null'): unknown {
  if (paths.children.size === 0) return value
  const shape = shapeOf(type, value)
  if (shape === 'map' && type.map !== undefined) {
    const rest =
      type.map.relationship === 'atomic' ? undefined : removeFields(type.map, value, paths, emptied)
    return rest ?? (emptied === 'null' ? null : {})
  }
  if (shape === 'list' && type.list !== undefined) {
    const rest =
      type.list.relationship === 'atomic' ? undefined : removeItems(type.list, value, paths, emptied)
    return rest ?? (emptied === 'null' ? null : [])
  }
  return value
}

/** undefined: nothing is left. */
function removeFields(type: MapType, value: unknown, paths: PathSet, emptied: Emptied): JsonMap | undefined {
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
    const after = isEmpty(below) ? before : removePaths(fieldType(type, name), before, below, emptied)
    if (after !== before) same = false
    put(rest, name, after)
    kept += 1
  }
  if (kept === 0) return undefined
  return same ? map : rest
}

function removeItems(
  type: ListType,
  value: unknown,
  paths: PathSet,
  emptied: Emptied,
): readonly unknown[] | undefined {
  const list = asList(value) ?? []
  const rest: unknown[] = []
  list.forEach((item, index) => {
    const below = paths.children.get(itemElement(type, item, index)) ?? EMPTY
    if (!below.member) rest.push(isEmpty(below) ? item : removePaths(type.element, item, below, emptied))
  })
  if (rest.length === 0) return undefined
  return rest.length === list.length && rest.every((item, index) => item === list[index]) ? list : rest
}
