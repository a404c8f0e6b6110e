// Parsing with a zod schema as Kubernetes does it: unknown fields are an error, a warning or nothing, as the client
// wishes (`fieldValidation`); null counts as absent; errors name each field by its path.
import type { z } from 'zod'
import { Fault, type FieldCause } from '../../../lib/fault.ts'
import { isObject } from './body.ts'

/** What becomes of unknown and doubled fields. */
export type FieldValidation = 'Strict' | 'Warn' | 'Ignore'

type Path = readonly PropertyKey[]

/** Nobody reads more, and a small body can be wrong in very many places. */
const MAX_TOLD = 100
const MAX_KEY_LENGTH = 256

export interface Parsed<T> {
  readonly value: T
  /** Paths of fields that the schema does not know; they are not in `value`. */
  readonly unknown: readonly string[]
}

/** Collects what is wrong, over several parses, so that one answer can name all of it. */
export class Problems {
  readonly causes: FieldCause[] = []
  readonly unknown: string[] = []

  /** Undefined when something was wrong; then it is in `causes`. */
  parse<T>(schema: z.ZodType<T>, input: unknown, prefix: string): T | undefined {
    const cleaned = dropNulls(input)
    const unknown: Path[] = []
    let result = schema.safeParse(cleaned)
    if (!result.success) {
      for (const issue of result.error.issues)
        if (issue.code === 'unrecognized_keys')
          for (const key of issue.keys) unknown.push([...issue.path, key])
      // Again without them: refinements are not looked at while a key is unknown.
      if (unknown.length > 0) {
        for (const path of unknown) deleteAt(cleaned, path)
        result = schema.safeParse(cleaned)
      }
    }
    this.unknown.push(...unknown.slice(0, MAX_TOLD).map(path => formatPath(path, prefix)))
    if (result.success) return result.data
    for (const issue of result.error.issues.slice(0, MAX_TOLD))
      this.causes.push(toCause(issue, cleaned, prefix))
    return undefined
  }
}

/** `spec.ports[0].name`, as Kubernetes writes paths. */
export function formatPath(path: Path, prefix: string): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`
    const name = String(part).slice(0, MAX_KEY_LENGTH)
    if (/^[A-Za-z0-9_-]+$/.test(name)) return text === '' ? name : `${text}.${name}`
    return `${text}[${name}]`
  }, prefix)
}

/**
 * What is said of unknown and doubled fields: a fault (`malformed`) in strict mode, warnings in the middle one,
 * nothing otherwise.
 */
export function judgeFields(
  unknown: readonly string[],
  duplicates: readonly string[],
  mode: FieldValidation,
): string[] {
  if (mode === 'Ignore') return []
  const paths = [unknown, duplicates].map(each =>
    each.slice(0, MAX_TOLD).map(path => path.slice(0, MAX_KEY_LENGTH)),
  )
  const said = ['unknown', 'duplicate'].flatMap((what, at) =>
    paths[at]!.map(path => `${what} field "${path}"`),
  )
  if (mode === 'Warn' || said.length === 0) return said
  const causes = paths.flat().map((field, at) => ({
    field,
    message: said[at]!,
    reason: 'FieldValueInvalid',
  }))
  const hint = "check the spelling: docs/reference/kinds.md, or 'kubectl explain', lists the fields of a kind"
  throw new Fault('malformed', 'unknown-field', `strict decoding error: ${said.join(', ')}`, { causes, hint })
}

/** A deep copy without members that are null: Go programs write absent things that way. */
function dropNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(dropNulls)
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== null)
      .map(([key, member]) => [key, dropNulls(member)]),
  )
}

function deleteAt(root: unknown, path: Path): void {
  const parent = path
    .slice(0, -1)
    .reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown>)[key], root)
  delete (parent as Record<PropertyKey, unknown>)[path.at(-1)!]
}

/** In Kubernetes' words, by which people and programs know what is meant. */
function toCause(issue: z.core.$ZodIssue, input: unknown, prefix: string): FieldCause {
  const field = formatPath(issue.path, prefix)
  const value = valueOf(input, issue.path)
  if (issue.code === 'invalid_type' && value === undefined)
    return { field, message: 'Required value', reason: 'FieldValueRequired' }
  if (issue.code === 'invalid_value') {
    const supported = issue.values.map(each => JSON.stringify(each)).join(', ')
    const message = `Unsupported value: ${shown(value)}: supported values: ${supported}`
    return { field, message, reason: 'FieldValueNotSupported' }
  }
  if (issue.code === 'invalid_key') {
    const why = issue.issues.map(each => each.message).join(', ')
    return { field, message: invalidValue(issue.path.at(-1), why), reason: 'FieldValueInvalid' }
  }
  return { field, message: invalidValue(value, issue.message), reason: 'FieldValueInvalid' }
}

/** `Invalid value: "x": why`. */
export function invalidValue(value: unknown, why: string): string {
  return `Invalid value: ${shown(value)}: ${why.replace(/^Invalid input: /, '')}`
}

const SHOWN_LENGTH = 100

/** Of what has parts, its type: nobody looks for the mistake in all of it. */
function shown(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'object') return Array.isArray(value) ? '"array"' : '"object"'
  return JSON.stringify(typeof value === 'string' ? value.slice(0, SHOWN_LENGTH) : value)
}

function valueOf(root: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === 'object' && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined,
    root,
  )
}
