// Query parameters of the Kubernetes API, parsed once per request.
import type { ListOptions } from '../../../core/store.ts'
import { Fault, type FieldCause } from '../../../lib/fault.ts'
import { equalities, parseFieldSelector, parseLabelSelector, type Requirement } from './selectors.ts'
import type { Served } from './served.ts'
import type { FieldValidation } from './strict-parse.ts'
import type { IncludeObject } from './table.ts'

export type Query = URLSearchParams

export interface Selection {
  readonly labels: readonly Requirement[]
  readonly fields: readonly Requirement[]
  /** What of it the store does by itself. */
  readonly options: ListOptions
}

export function parseSelection(
  query: Query,
  served: Pick<Served, 'selectable'>,
  namespace: string | undefined,
): Selection {
  const labels = parseLabelSelector(query.get('labelSelector') ?? undefined)
  const fields = parseFieldSelector(query.get('fieldSelector') ?? undefined, served.selectable)
  const simple = { labels: equalities(labels), fields: equalities(fields) }
  return {
    labels,
    fields,
    options: {
      ...(namespace === undefined ? {} : { namespace }),
      ...(simple.labels === undefined ? {} : { labels: simple.labels }),
      ...(simple.fields === undefined ? {} : { fields: simple.fields }),
    },
  }
}

/** As Kubernetes reads truth: whatever is there and is neither `false` nor `0` is true, also `?watch` alone. */
export function flag(query: Query, name: string): boolean {
  const value = query.get(name)
  return value !== null && value !== '0' && value.toLowerCase() !== 'false'
}

const MAX_INT64 = 2n ** 63n - 1n

/**
 * A whole number of 64 bits, cut to 0 and `max`: to Kubernetes a negative limit is none, and a huge one all that there
 * is. Undefined when absent.
 */
export function integer(query: Query, name: string, max: number): number | undefined {
  const text = query.get(name)
  if (text === null || text === '') return undefined
  const isNumber = /^[+-]?[0-9]{1,19}$/.test(text)
  const value = isNumber ? BigInt(text.replace('+', '')) : undefined
  if (value === undefined || value > MAX_INT64 || value < -MAX_INT64 - 1n)
    throw malformed(name, text, 'a whole number')
  return Number(value < 0n ? 0n : value > BigInt(max) ? BigInt(max) : value)
}

/** Decimal, without leading zeros; undefined when absent. */
export function revision(query: Query): string | undefined {
  const text = query.get('resourceVersion') ?? ''
  if (text === '') return undefined
  if (!/^(0|[1-9][0-9]{0,18})$/.test(text) || BigInt(text) > MAX_INT64)
    throw malformed('resourceVersion', text, 'a revision of this server')
  return text
}

export function includeObject(query: Query): IncludeObject {
  const value = oneOf(query, 'includeObject', ['Metadata', 'Object', 'None'])
  return (value ?? 'Metadata') as IncludeObject
}

/** Faults with `invalid` on anything but `All`, also on nothing: who wants to try must not write by mistake. */
export function dryRun(query: Query): boolean {
  const values = query.getAll('dryRun')
  const alien = values.find(each => each !== 'All')
  if (alien !== undefined) throw unsupportedOption('dryRun', alien, ['All'])
  return values.length > 0
}

/**
 * Kubernetes' default. `kubectl` and our own client ask for `Strict`, so that a misspelt field never passes unnoticed;
 * tools that say nothing rely on being warned only.
 */
export function fieldValidation(query: Query): FieldValidation {
  const value = query.get('fieldValidation') ?? ''
  if (value === '') return 'Warn'
  const modes: readonly string[] = ['Ignore', 'Strict', 'Warn']
  if (modes.includes(value)) return value as FieldValidation
  throw unsupportedOption('fieldValidation', value, modes)
}

const MANAGER = /^[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]{1,128}$/u

/** Who writes: `fieldManager`, or else what the user agent calls itself. Faults with `invalid`. */
export function fieldManager(query: Query, userAgent: string | undefined): string {
  const named = query.get('fieldManager') ?? ''
  if (named === '') return MANAGER.exec((userAgent ?? '').split('/')[0]!.slice(0, 128))?.[0] ?? 'unknown'
  if (MANAGER.test(named)) return named
  throw invalidOption('fieldManager', 'must be at most 128 printable characters', 'FieldValueInvalid')
}

/** A query parameter that is wrong by what it means. */
export function invalidOption(field: string, message: string, reason: string): Fault {
  const causes = [{ field, message, reason }]
  return new Fault('invalid', 'options-invalid', `the options of the request: ${field}: ${message}`, {
    causes,
  })
}

function unsupportedOption(field: string, value: string, supported: readonly string[]): Fault {
  const expected = supported.map(each => JSON.stringify(each)).join(', ')
  const message = `Unsupported value: ${JSON.stringify(value.slice(0, 80))}: supported values: ${expected}`
  return invalidOption(field, message, 'FieldValueNotSupported')
}

/** Options that cannot be, in Kubernetes' words; `kind` is its name for them, such as `ListOptions`. */
export function refuseOptions(kind: string, causes: readonly FieldCause[]): Fault {
  const said = causes.map(({ field, message }) => `${field}: ${message}`).join(', ')
  const message = `${kind}.meta.k8s.io "" is invalid: ${causes.length === 1 ? said : `[${said}]`}`
  return new Fault('invalid', 'options-refused', message, { causes, object: { group: 'meta.k8s.io', kind } })
}

export function oneOf(query: Query, name: string, values: readonly string[]): string | undefined {
  const value = query.get(name) ?? undefined
  if (value === undefined || (value === '' && !values.includes(''))) return undefined
  if (!values.includes(value)) throw malformed(name, value, values.filter(each => each !== '').join(', '))
  return value
}

function malformed(name: string, value: string, expected: string): Fault {
  const message = `read the query: ${name}=${value.slice(0, 80)}: expected ${expected}`
  return new Fault('malformed', 'query-malformed', message, { hint: 'correct the query parameter' })
}
