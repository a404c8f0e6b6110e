// The wire form of a set of paths, `fieldsV1`: nested objects whose keys are path elements; `.` says that a path which
// leads on is in the set itself.
import { asMap, type JsonMap } from './json.ts'
import { parseElement } from './path-element.ts'
import { LEAF, node, type PathSet, sortedChildren, union, withMember } from './path-set.ts'

/** Keys in the order in which Kubernetes writes them, so that `JSON.stringify` gives the same bytes. */
export function toFieldsV1(set: PathSet): JsonMap {
  return write(withMember(set, false))
}

function write(set: PathSet): JsonMap {
  const fields: Record<string, unknown> = {}
  if (set.member && set.children.size > 0) fields['.'] = {}
  // Every key has a prefix, so none is `__proto__`.
  for (const [element, child] of sortedChildren(set)) fields[element] = write(child)
  return fields
}

/**
 * Reads any order; elements of an unknown kind are left out.
 * @throws SyntaxError when it is not a tree of path elements
 */
export function parseFieldsV1(fields: unknown): PathSet {
  return withMember(read(fields), false)
}

function read(value: unknown): PathSet {
  const fields = asMap(value)
  if (fields === undefined) throw new SyntaxError('a set of fields must be an object')
  const children = new Map<string, PathSet>()
  let member = false
  for (const key of Object.keys(fields)) {
    if (key === '.') {
      member = true
      continue
    }
    const element = parseElement(key)
    if (element === undefined) continue
    const child = read(fields[key])
    const twin = children.get(element)
    children.set(element, twin === undefined ? child : union(twin, child))
  }
  return children.size === 0 ? LEAF : node(member, children)
}
