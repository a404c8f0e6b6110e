// Query parameters of the Kubernetes API, parsed once per request.
import type { ListOptions } from '../../../core/store.ts'
import { Fault } from '../../../lib/fault.ts'
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

export function parseSelection(query: Query, served: Served, namespace: string | undefined): Selection {
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

export function flag(query: Query, name: string): boolean {
  return oneOf(query, name, ['true', '1', 'false', '0', '']) === 'true' || query.get(name) === '1'
}

/** A whole number, or undefined when absent. */
export function integer(query: Query, name: string, max: number): number | undefined {
  const text = query.get(name)
  if (text === null || text === '') return undefined
  if (!/^[0-9]{1,10}$/.test(text) || Number(text) > max)
    throw malformed(name, text, `a number from 0 to ${max}`)
  return Number(text)
}

/** Decimal, without leading zeros; undefined when absent. */
export function revision(query: Query): string | undefined {
  const text = query.get('resourceVersion') ?? ''
  if (text === '') return undefined
  if (!/^(0|[1-9][0-9]{0,17})$/.test(text))
    throw malformed('resourceVersion', text, 'a revision of this server')
  return text
}

export function includeObject(query: Query): IncludeObject {
  const value = oneOf(query, 'includeObject', ['Metadata', 'Object', 'None'])
  return (value ?? 'Metadata') as IncludeObject
}

export function dryRun(query: Query): boolean {
  return oneOf(query, 'dryRun', ['All']) === 'All'
}

/**
 * Kubernetes' own default is `Warn`. People's writes are strict here, so that a misspelt field never passes unnoticed;
 * a status from a newer runner only loses what this server does not know.
 */
export function fieldValidation(query: Query, part: 'main' | 'status'): FieldValidation {
  const value = oneOf(query, 'fieldValidation', ['Strict', 'Warn', 'Ignore'])
  return (value ?? (part === 'main' ? 'Strict' : 'Warn')) as FieldValidation
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
