// What a client sends as `metadata.managedFields`. It may: `kubectl apply --server-side` moves ownership that way when
// it takes over an object that was applied by the client before.
import { Fault, type FieldCause } from '../../lib/fault.ts'
import type { ManagedFieldsEntry } from '../resource.ts'
import { parseFieldsV1 } from './fields-v1.ts'
import { asMap, type JsonMap, keysOf, own } from './json.ts'

/** Kubernetes' limits, in UTF-8 bytes; that of a version is ours. */
const MAX_BYTES = { manager: 128, subresource: 256, apiVersion: 256 } as const

/** An empty list, or a list of one empty entry, asks for a new start. */
export function isReset(value: unknown): boolean {
  if (!Array.isArray(value)) return false
  const [first] = value as readonly unknown[]
  return value.length === 0 || (value.length === 1 && keysOf(asMap(first) ?? { some: true }).length === 0)
}

/**
 * The entries, times cut to seconds; undefined when there are none (absent or null).
 * @throws Fault `invalid` with a cause for each malformed field
 */
export function parseEntries(value: unknown): readonly ManagedFieldsEntry[] | undefined {
  if (value === undefined || value === null) return undefined
  const path = 'metadata.managedFields'
  if (!Array.isArray(value)) throw malformed([{ field: path, message: 'must be a list' }])
  const causes: FieldCause[] = []
  const entries = value
    .map((each: unknown, index) => parseEntry(each, `${path}[${index}]`, causes))
    .filter(entry => entry !== undefined)
  if (causes.length > 0) throw malformed(causes)
  return entries.length === 0 ? undefined : entries
}

function malformed(causes: readonly FieldCause[]): Fault {
  const [first] = causes
  return new Fault(
    'invalid',
    'managed-fields-malformed',
    `the managed fields that were sent cannot be read: ${first?.field}: ${first?.message}`,
    { causes, hint: 'Send them as they were read, or leave metadata.managedFields out.' },
  )
}

function parseEntry(value: unknown, path: string, causes: FieldCause[]): ManagedFieldsEntry | undefined {
  const entry = asMap(value)
  if (entry === undefined) {
    causes.push({ field: path, message: 'must be an object' })
    return undefined
  }
  const refuse: Refuse = (name, message) => causes.push({ field: `${path}.${name}`, message })
  const operation = own(entry, 'operation')
  if (operation !== 'Apply' && operation !== 'Update') refuse('operation', 'must be `Apply` or `Update`')
  const apiVersion = textField(entry, 'apiVersion', refuse)
  if (apiVersion === '') refuse('apiVersion', 'must not be empty')
  if (own(entry, 'fieldsType') !== 'FieldsV1') refuse('fieldsType', 'must be `FieldsV1`')
  const fields = own(entry, 'fieldsV1') ?? {}
  const problem = problemOfFields(fields)
  if (problem !== undefined) refuse('fieldsV1', problem)
  const manager = textField(entry, 'manager', refuse)
  const subresource = textField(entry, 'subresource', refuse)
  const time = timeField(entry, refuse)
  return {
    manager,
    operation: operation === 'Apply' ? 'Apply' : 'Update',
    apiVersion,
    ...(time === undefined ? {} : { time }),
    fieldsType: 'FieldsV1',
    fieldsV1: asMap(fields) ?? {},
    ...(subresource === '' ? {} : { subresource }),
  }
}

type Refuse = (name: string, message: string) => unknown

/** Empty when it is absent or refused. */
function textField(entry: JsonMap, name: keyof typeof MAX_BYTES, refuse: Refuse): string {
  const text = own(entry, name) ?? ''
  if (typeof text !== 'string') refuse(name, 'must be a string')
  else if (new TextEncoder().encode(text).length > MAX_BYTES[name]) {
    refuse(name, `may not be more than ${MAX_BYTES[name]} bytes`)
  } else if (/[\p{C}\p{Zl}\p{Zp}]/u.test(text)) refuse(name, 'must consist of printable characters')
  else return text
  return ''
}

function timeField(entry: JsonMap, refuse: Refuse): string | undefined {
  const time = own(entry, 'time')
  if (time === undefined || time === null) return undefined
  const millis = typeof time === 'string' && /^\d{4}-\d\d-\d\dT/.test(time) ? Date.parse(time) : Number.NaN
  if (!Number.isNaN(millis)) return new Date(millis).toISOString().replace(/\.\d+Z$/, 'Z')
  refuse('time', 'must be a time as in RFC 3339')
  return undefined
}

function problemOfFields(fields: unknown): string | undefined {
  try {
    parseFieldsV1(fields)
    return undefined
  } catch (error) {
    if (error instanceof SyntaxError) return error.message
    throw error
  }
}
