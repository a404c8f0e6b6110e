// Strategic merge patches: what kubectl sends for kinds that it has compiled in, which here are the views of the core
// group. A merge patch in which some lists are merged item by item, with directives in members that begin with `$`.
import { Fault } from '../../../lib/fault.ts'
import { isObject } from './body.ts'

type Json = Record<string, unknown>

/** Lists that are merged: by the member that identifies an item, or by the item itself (''). */
const MERGED: Readonly<Record<string, string>> = {
  finalizers: '',
  ownerReferences: 'uid',
  conditions: 'type',
}
/** Items of one list in a patch: each is looked for among those that are there. Objects hold fewer than 100. */
const MAX_ITEMS = 1_000
const DELETE_PRIMITIVES = '$deleteFromPrimitiveList/'

/** Neither argument is changed. Faults with `malformed` on a directive that does not exist. */
export function strategicMergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  const directive = patch['$patch']
  if (directive === 'replace') return withoutDirectives(patch)
  if (directive === 'delete') return {}
  if (directive !== undefined && directive !== 'merge')
    throw unknownDirective(`$patch: ${JSON.stringify(directive)}`)
  const result: Json = isObject(target) ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$')) applyDirective(result, key, value)
    else if (value === null) delete result[key]
    else if (Array.isArray(value) && Object.hasOwn(MERGED, key))
      result[key] = mergeLists(result[key], value, MERGED[key]!)
    else if (Array.isArray(value)) result[key] = value
    else result[key] = strategicMergePatch(result[key], value)
  }
  return result
}

function applyDirective(result: Json, key: string, value: unknown): void {
  // The order of items: the merged lists above are sets, whose order says nothing.
  if (key === '$patch' || key.startsWith('$setElementOrder/')) return
  if (key === '$retainKeys' && Array.isArray(value)) {
    const kept = new Set<unknown>(value)
    for (const each of Object.keys(result)) if (!kept.has(each)) delete result[each]
  } else if (key.startsWith(DELETE_PRIMITIVES) && Array.isArray(value)) {
    const name = key.slice(DELETE_PRIMITIVES.length)
    const list = result[name]
    const removed = new Set<unknown>(value)
    if (Array.isArray(list)) result[name] = list.filter(each => !removed.has(each))
  } else throw unknownDirective(key)
}

function mergeLists(target: unknown, patch: readonly unknown[], mergeKey: string): unknown[] {
  if (patch.length > MAX_ITEMS)
    throw new Fault('too_large', 'patch-too-large', `apply the patch: a list of more than ${MAX_ITEMS} items`)
  const list = Array.isArray(target) ? [...target] : []
  if (patch.some(each => isObject(each) && each['$patch'] === 'replace'))
    return patch.filter(each => !(isObject(each) && each['$patch'] === 'replace'))
  for (const item of patch) {
    const same = (other: unknown) =>
      mergeKey === '' || !isObject(item) || !isObject(other)
        ? other === item
        : other[mergeKey] === item[mergeKey]
    const at = list.findIndex(same)
    if (isObject(item) && item['$patch'] === 'delete') {
      if (at !== -1) list.splice(at, 1)
    } else if (at === -1) list.push(item)
    else list[at] = strategicMergePatch(list[at], item)
  }
  return list
}

function withoutDirectives(patch: Json): Json {
  return Object.fromEntries(Object.entries(patch).filter(([key]) => !key.startsWith('$')))
}

function unknownDirective(what: string): Fault {
  return new Fault('malformed', 'patch-malformed', `apply the patch: there is no directive '${what}'`, {
    hint: 'send a merge patch (application/merge-patch+json)',
  })
}
