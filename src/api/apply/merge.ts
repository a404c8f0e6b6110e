// Lays a manifest over the live value. Nothing is removed; where both say something, the manifest wins.
import { asList, asMap, keysOf, own, put, sameValue } from './json.ts'
import { itemElement } from './path-element.ts'
import { fieldType, type ListType, type MapType, shapeOf, type Type } from './type.ts'

/** The merged value; parts that do not change are those of `live` themselves. `undefined` is a value that is not there. */
export function mergeValues(type: Type, live: unknown, config: unknown): unknown {
  if (config === undefined || live === config) return live
  if (live === undefined) return config
  const shape = shapeOf(type, config)
  if (shape === 'map' && type.map !== undefined) {
    const names = keysOf(asMap(config))
    if (type.map.relationship === 'granular' && names.length + keysOf(asMap(live)).length > 0) {
      return mergeMaps(type.map, live, config, names)
    }
  } else if (shape === 'list' && type.list !== undefined) {
    const left = asList(live) ?? []
    const right = asList(config) ?? []
    if (type.list.relationship === 'associative' && left.length + right.length > 0) {
      return mergeLists(type.list, left, right)
    }
  }
  return sameValue(live, config) ? live : config
}

function mergeMaps(type: MapType, live: unknown, config: unknown, names: readonly string[]): unknown {
  const left = asMap(live)
  const right = asMap(config)
  let merged: Record<string, unknown> | undefined
  for (const name of names) {
    const before = own(left, name)
    const after = mergeValues(fieldType(type, name), before, right?.[name])
    if (after === before) continue
    // A spread copies own keys, `__proto__` among them.
    merged ??= { ...left }
    put(merged, name, after)
  }
  return merged ?? left ?? {}
}

/**
 * Items that only the live list has stay where they are; those of the manifest come in the manifest's order, each as
 * soon as the shared items before it have had their turn.
 */
function mergeLists(
  type: ListType,
  live: readonly unknown[],
  config: readonly unknown[],
): readonly unknown[] {
  const leftElements = live.map((item, index) => itemElement(type, item, index))
  const rightElements = config.map((item, index) => itemElement(type, item, index))
  const left = new Map<string, unknown>()
  leftElements.forEach((element, index) => {
    // The manifest's item replaces twins; there is no telling which of them it would be merged with.
    left.set(element, left.has(element) ? null : live[index])
  })
  const inConfig = new Set(rightElements)
  const shared = rightElements.filter(element => left.has(element))

  const merged: unknown[] = []
  let [atLeft, atRight, awaited] = [0, 0, 0]
  for (;;) {
    const leftElement = leftElements[atLeft]
    const rightElement = rightElements[atRight]
    if (leftElement !== undefined && !inConfig.has(leftElement)) {
      merged.push(live[atLeft])
      atLeft += 1
      continue
    }
    if (rightElement === undefined) {
      if (leftElement === undefined) break
      atLeft += 1 // It is among the merged ones already.
      continue
    }
    if (leftElement !== undefined && leftElement !== rightElement && shared[awaited] !== leftElement) {
      atLeft += 1 // Shared, and not its turn: it comes where the manifest has it.
      if (awaited < shared.length) continue
    }
    if (leftElement === rightElement) atLeft += 1
    merged.push(mergeValues(type.element, left.get(rightElement), config[atRight]))
    if (shared[awaited] === rightElement) awaited += 1
    atRight += 1
  }
  const same = merged.length === live.length && merged.every((item, index) => item === live[index])
  return same ? live : merged
}
