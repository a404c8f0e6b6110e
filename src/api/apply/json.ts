// Plain JSON values, read by own keys only and written so that a key named `__proto__` is a key like any other.

export type JsonMap = Readonly<Record<string, unknown>>

/** The value if it is a JSON object, else undefined. */
export function asMap(value: unknown): JsonMap | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonMap) : undefined
}

/** The value if it is a JSON array, else undefined. */
export function asList(value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) ? value : undefined
}

/** The value under an own key; undefined when there is none. */
export function own(map: JsonMap | undefined, key: string): unknown {
  return map !== undefined && Object.hasOwn(map, key) ? map[key] : undefined
}

/** Sets a key of an object under construction. Assigning to `__proto__` would change its prototype instead. */
export function put(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
  } else {
    target[key] = value
  }
}

/** The keys that say something: `undefined` is an absent value, as `JSON.stringify` has it. */
export function keysOf(map: JsonMap | undefined): string[] {
  if (map === undefined) return []
  const keys = Object.keys(map)
  return keys.some(key => map[key] === undefined) ? keys.filter(key => map[key] !== undefined) : keys
}

/** A copy without some keys; the map itself when it has none of them. */
export function omit(map: JsonMap, keys: readonly string[]): JsonMap {
  if (!keys.some(key => Object.hasOwn(map, key))) return map
  // fromEntries defines keys, so `__proto__` is safe.
  return Object.fromEntries(Object.entries(map).filter(([key]) => !keys.includes(key)))
}

/** Whether two values say the same; the order of keys does not matter. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false
    for (let index = 0; index < a.length; index++) if (!sameValue(a[index], b[index])) return false
    return true
  }
  if (Array.isArray(b)) return false
  const left = a as JsonMap
  const right = b as JsonMap
  const keys = keysOf(left)
  if (keys.length !== keysOf(right).length) return false
  return keys.every(key => Object.hasOwn(right, key) && sameValue(left[key], right[key]))
}

/** Order of Go's strings: by UTF-8 bytes. UTF-16 units differ from that where surrogates meet U+E000 to U+FFFF. */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let index = 0; index < length; index++) {
    const left = a.charCodeAt(index)
    const right = b.charCodeAt(index)
    if (left !== right) return byteRank(left) - byteRank(right)
  }
  return a.length - b.length
}

function byteRank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit
}

/**
 * JSON text as Go's encoder writes it: keys sorted, and `<`, `>`, `&` and some control characters escaped. It names
 * list items in `fieldsV1` and fills the last-applied annotation, where other clients compare it byte by byte.
 */
export function goJson(value: unknown): string {
  if (typeof value === 'string') return goQuote(value)
  if (Array.isArray(value)) return `[${value.map(goJson).join(',')}]`
  const map = asMap(value)
  if (map === undefined) return JSON.stringify(value) ?? 'null'
  const parts = keysOf(map)
    .sort(compareText)
    .map(key => `${goQuote(key)}:${goJson(map[key])}`)
  return `{${parts.join(',')}}`
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these two are what JSON.stringify abbreviates and Go does not
const SPECIAL = /[<>&\u2028\u2029\b\f]/
const ESCAPES = /[<>&\u2028\u2029]|\\[bf\\]/g

function goQuote(text: string): string {
  const quoted = JSON.stringify(text)
  if (!SPECIAL.test(text)) return quoted
  return quoted.replace(ESCAPES, found => {
    if (found === '\\\\') return found
    const unit = found === '\\b' ? 8 : found === '\\f' ? 12 : found.charCodeAt(0)
    return `\\u${unit.toString(16).padStart(4, '0')}`
  })
}
