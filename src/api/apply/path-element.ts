// One step of a path, as `fieldsV1` writes it: `f:NAME` a field, `k:{…}` the list item with these key fields, `v:VALUE`
// the item of a set, `i:N` an item by position. The text is canonical, so that equal steps are equal strings.
import { asMap, compareText, goJson, keysOf, own } from './json.ts'
import type { ListType } from './type.ts'

export function fieldElement(name: string): string {
  return `f:${name}`
}

/** The name of the field that the element stands for; undefined for list items. */
export function fieldName(element: string): string | undefined {
  return element.startsWith('f:') ? element.slice(2) : undefined
}

/** How an associative list tells this item apart. An item that has none of the keys is known by its position. */
export function itemElement(list: ListType, item: unknown, index: number): string {
  if (list.keys.length === 0) return `v:${goJson(item)}`
  const fields = asMap(item)
  if (fields === undefined) return `i:${index}`
  const parts: string[] = []
  for (const key of list.keys) {
    const value = own(fields, key) ?? list.element.map?.defaults.get(key)
    if (value !== undefined) parts.push(`${goJson(key)}:${goJson(value)}`)
  }
  return parts.length === 0 ? `i:${index}` : `k:{${parts.join(',')}}`
}

/**
 * The canonical form of an element that somebody else wrote; undefined for a kind of element that is not known (a
 * later version's, to be ignored).
 * @throws SyntaxError when it is malformed
 */
export function parseElement(text: string): string | undefined {
  if (text.length < 2 || text[1] !== ':')
    throw new SyntaxError(`${JSON.stringify(text)} is not a path element`)
  const rest = text.slice(2)
  switch (text[0]) {
    case 'f':
      return text
    case 'v':
      return `v:${goJson(parseShallow(rest))}`
    case 'k': {
      const keys = asMap(parseShallow(rest))
      if (keys === undefined) throw new SyntaxError(`${JSON.stringify(text)} does not hold an object of keys`)
      return `k:${goJson(keys)}`
    }
    case 'i':
      if (!/^[+-]?\d+$/.test(rest)) throw new SyntaxError(`${JSON.stringify(text)} does not hold a number`)
      return `i:${Number(rest)}`
    default:
      return undefined
  }
}

const MAX_DEPTH = 16

/** JSON that is not nested deeply: elements are texts, so that no bound on the body's depth has looked into them. */
function parseShallow(text: string): unknown {
  const value: unknown = JSON.parse(text)
  let level = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw new SyntaxError(`a path element is nested deeper than ${MAX_DEPTH}`)
    level = level.flatMap(each => (typeof each === 'object' && each !== null ? Object.values(each) : []))
  }
  return value
}

/** As Kubernetes prints it: `.name`, `[port=80,protocol="TCP"]`, `[="value"]`, `[0]`. */
export function printElement(element: string): string {
  const rest = element.slice(2)
  if (element.startsWith('f:')) return `.${rest}`
  if (element.startsWith('i:')) return `[${rest}]`
  if (element.startsWith('v:')) return `[=${JSON.stringify(JSON.parse(rest))}]`
  const keys = asMap(JSON.parse(rest))
  return `[${keysOf(keys)
    .map(key => `${key}=${JSON.stringify(own(keys, key))}`)
    .join(',')}]`
}

const KINDS = 'fkvi'

interface Sortable {
  readonly element: string
  /** What a list item is known by; parsed once, since a set may have many thousands of items. */
  readonly known: unknown
}

/** In the order that `fieldsV1` has: fields, then keyed items, then values, then positions. */
export function sortElements(elements: Iterable<string>): string[] {
  return Array.from(elements, sortable)
    .sort(compareElements)
    .map(({ element }) => element)
}

function sortable(element: string): Sortable {
  return { element, known: element.startsWith('f:') ? undefined : JSON.parse(element.slice(2)) }
}

function compareElements(a: Sortable, b: Sortable): number {
  const kind = a.element.charAt(0)
  const other = b.element.charAt(0)
  if (kind !== other) return KINDS.indexOf(kind) - KINDS.indexOf(other)
  if (kind === 'f') return compareText(a.element, b.element)
  return kind === 'k' ? compareFields(a.known, b.known) : compareValues(a.known, b.known)
}

function compareFields(a: unknown, b: unknown): number {
  const left = keysOf(asMap(a)).sort(compareText)
  const right = keysOf(asMap(b)).sort(compareText)
  for (let index = 0; index < Math.min(left.length, right.length); index++) {
    const leftKey = left[index] ?? ''
    const rightKey = right[index] ?? ''
    const order =
      compareText(leftKey, rightKey) || compareValues(own(asMap(a), leftKey), own(asMap(b), rightKey))
    if (order !== 0) return order
  }
  return left.length - right.length
}

// Numbers before strings before booleans before lists before maps before null.
function compareValues(a: unknown, b: unknown): number {
  const rank = rankOf(a)
  if (rank !== rankOf(b)) return rank - rankOf(b)
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b)
  if (rank <= 2) return Number(a) - Number(b)
  if (Array.isArray(a) && Array.isArray(b)) {
    for (let index = 0; index < Math.min(a.length, b.length); index++) {
      const order = compareValues(a[index], b[index])
      if (order !== 0) return order
    }
    return a.length - b.length
  }
  return rank === 4 ? compareFields(a, b) : 0
}

function rankOf(value: unknown): number {
  if (typeof value === 'number') return 0
  if (typeof value === 'string') return 1
  if (typeof value === 'boolean') return 2
  if (Array.isArray(value)) return 3
  return value === null ? 5 : 4
}
