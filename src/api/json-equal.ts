/**
 * Whether two JSON values say the same: key order does not matter, and a key whose value is `undefined` is an absent
 * key, as `JSON.stringify` has it.
 */
export function jsonEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false
    return a.every((each, index) => jsonEqual(each, b[index]))
  }
  const left = a as Record<string, unknown>
  const right = b as Record<string, unknown>
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].every(key =>
    jsonEqual(own(left, key), own(right, key)),
  )
}

/** The value at a dotted path, e.g. `spec.content`; undefined where the path leads nowhere. */
export function valueAt(value: unknown, path: string): unknown {
  let at = value
  for (const key of path.split('.')) {
    if (typeof at !== 'object' || at === null) return undefined
    at = own(at as Record<string, unknown>, key)
  }
  return at
}

// Own keys only: a label named `constructor` must not find Object's.
function own(object: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(object, key) ? object[key] : undefined
}
