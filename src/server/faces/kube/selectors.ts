import type { Resource } from '../../../api/resource.ts'
import { Fault } from '../../../lib/fault.ts'

export interface Requirement {
  readonly key: string
  readonly operator: 'in' | 'not-in' | 'exists' | 'absent' | 'greater' | 'less'
  readonly values: readonly string[]
}

/** Keys of labels: an optional DNS subdomain of at most 253 characters, and a name of at most 63. */
export const LABEL_KEY =
  /^((?=.{1,253}\/)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/
export const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/
const MAX_LENGTH = 4096
const SET = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/
/** Values escape `\`, `,` and `=` with a backslash. */
const FIELD = /^([^=!\s]+)(==|=|!=)((?:[^\\,=]|\\[\\,=])*)$/
const COMPARISON = /^([^<>!=\s]+)\s*([<>])\s*(-?\d{1,18})$/
const EQUALITY = /^([^=!\s]+)\s*(==|=|!=)\s*(\S*)$/

/** `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2`. Faults with `malformed`. */
export function parseLabelSelector(text: string | undefined): Requirement[] {
  return splitTerms(text).map(term => {
    const requirement = parseLabelTerm(term)
    const isComparison = requirement.operator === 'greater' || requirement.operator === 'less'
    if (
      !LABEL_KEY.test(requirement.key) ||
      !(isComparison || requirement.values.every(value => LABEL_VALUE.test(value)))
    )
      throw malformed('label-selector-malformed', `read the label selector at '${term}'`)
    return requirement
  })
}

/**
 * `metadata.name=a,spec.runner!=b`; only `selectable` fields, which it gives the names that they are stored under. Faults
 * with `malformed`.
 */
export function parseFieldSelector(
  text: string | undefined,
  selectable: ReadonlyMap<string, string>,
): Requirement[] {
  return splitTerms(text).map(term => {
    const match = FIELD.exec(term)
    if (match === null) throw malformed('field-selector-malformed', `read the field selector at '${term}'`)
    const [, key = '', operator, value = ''] = match
    const stored = selectable.get(key)
    if (stored === undefined)
      throw malformed(
        'field-not-selectable',
        `field label not supported: ${key}; supported: ${[...selectable.keys()].join(', ')}`,
      )
    return {
      key: stored,
      operator: operator === '!=' ? 'not-in' : 'in',
      values: [value.replace(/\\([\\,=])/g, '$1')],
    }
  })
}

/** What the store can do by itself: requirements of the form `key = value`. */
export function equalities(requirements: readonly Requirement[]): Record<string, string> | undefined {
  const simple = requirements.filter(({ operator, values }) => operator === 'in' && values.length === 1)
  return simple.length === 0
    ? undefined
    : Object.fromEntries(simple.map(({ key, values }) => [key, values[0]!]))
}

export function matchesSelectors(
  object: Resource,
  labels: readonly Requirement[],
  fields: readonly Requirement[],
): boolean {
  const { labels: own = {} } = object.metadata
  return (
    // Own ones only: every object in JavaScript has a `constructor`.
    labels.every(each => holds(each, Object.hasOwn(own, each.key) ? own[each.key] : undefined)) &&
    // An absent field counts as empty, so that `spec.runner=` finds what is bound to nobody.
    fields.every(each => holds(each, fieldOf(object, each.key)))
  )
}

function holds({ operator, values }: Requirement, value: string | undefined): boolean {
  if (operator === 'exists') return value !== undefined
  if (operator === 'absent') return value === undefined
  if (operator === 'greater' || operator === 'less') {
    // A label that is no whole number is neither.
    if (value === undefined || !/^[-+]?\d{1,18}$/.test(value)) return false
    const [is, bound] = [BigInt(value.replace('+', '')), BigInt(values[0]!)]
    return operator === 'greater' ? is > bound : is < bound
  }
  const listed = value !== undefined && values.includes(value)
  return operator === 'in' ? listed : !listed
}

function fieldOf(object: Resource, path: string): string {
  const value = path
    .split('.')
    .reduce<unknown>(
      (part, key) =>
        part !== null && typeof part === 'object' ? (part as Record<string, unknown>)[key] : undefined,
      object,
    )
  return value === undefined || value === null ? '' : String(value)
}

function parseLabelTerm(term: string): Requirement {
  const set = SET.exec(term)
  if (set !== null) {
    const values = set[3]!.split(',').map(value => value.trim())
    return { key: set[1]!, operator: set[2] === 'in' ? 'in' : 'not-in', values }
  }
  const comparison = COMPARISON.exec(term)
  if (comparison !== null)
    return {
      key: comparison[1]!,
      operator: comparison[2] === '>' ? 'greater' : 'less',
      values: [comparison[3]!],
    }
  const equality = EQUALITY.exec(term)
  if (equality !== null)
    return { key: equality[1]!, operator: equality[2] === '!=' ? 'not-in' : 'in', values: [equality[3]!] }
  return term.startsWith('!')
    ? { key: term.slice(1).trim(), operator: 'absent', values: [] }
    : { key: term, operator: 'exists', values: [] }
}

/** Splits at commas that stand outside parentheses and after no backslash. */
function splitTerms(text = ''): string[] {
  if (text.trim() === '') return []
  if (text.length > MAX_LENGTH)
    throw malformed('selector-length', `read the selector: longer than ${MAX_LENGTH}`)
  const terms: string[] = []
  let start = 0
  let inside = false
  for (let at = 0; at <= text.length; at++) {
    const char = text[at]
    if (char === '\\') at++
    else if (char === '(') inside = true
    else if (char === ')') inside = false
    else if (char === undefined || (char === ',' && !inside)) {
      terms.push(text.slice(start, at).trim())
      start = at + 1
    }
  }
  // A backslash at the very end would have swallowed the last term.
  if (terms.includes('') || start !== text.length + 1)
    throw malformed('selector-malformed', `read the selector '${text}': an empty or open term`)
  return terms
}

function malformed(code: string, message: string): Fault {
  return new Fault('malformed', code, message, { hint: 'write key=value, key!=value, joined by commas' })
}
