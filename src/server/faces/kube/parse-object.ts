// Bodies that hold an object: what a client wants stored, checked against the kind and the URL.
import type { KindDefinition } from '../../../api/kinds/kind.ts'
import { KINDS } from '../../../api/kinds/registry.ts'
import { nameSchema } from '../../../api/names.ts'
import { API_VERSION, GROUP, type Kind, type SpecOf, type StatusOf } from '../../../api/resource.ts'
import type { Part } from '../../../core/store.ts'
import { Fault, type FieldCause } from '../../../lib/fault.ts'
import { isObject } from './body.ts'
import { metadataSchema, type ParsedMetadata } from './metadata.ts'
import { type FieldValidation, judgeFields, Problems } from './strict-parse.ts'

/** What the URL says; a body that says otherwise is refused. */
export interface Target {
  readonly kind: Kind
  readonly namespace: string
  /** Absent when creating. */
  readonly name?: string
}

export interface ParsedObject {
  readonly metadata: ParsedMetadata
  /** With defaults filled in; present when the main part is written. */
  readonly spec: SpecOf<Kind> | undefined
  /** Present when the status is written. */
  readonly status: StatusOf<Kind> | undefined
  readonly warnings: readonly string[]
}

const TOP_LEVEL: readonly string[] = ['apiVersion', 'kind', 'metadata', 'spec', 'status']

/**
 * Parses the half of `body` that is written; the other half is not looked at. Faults with `malformed` (not this kind,
 * not this name, unknown fields in strict mode) and `invalid` (with all causes).
 */
export function parseObject(
  body: unknown,
  target: Target,
  part: Part,
  fields: { readonly mode: FieldValidation; readonly duplicates: readonly string[] },
): ParsedObject {
  if (!isObject(body)) throw mismatch('the body is not an object')
  const definition = KINDS[target.kind] as KindDefinition<unknown, unknown>
  checkType(body, definition)
  const problems = new Problems()
  problems.unknown.push(...Object.keys(body).filter(key => !TOP_LEVEL.includes(key)))
  const metadata = problems.parse(metadataSchema, body['metadata'] ?? {}, 'metadata')
  const main = part === 'main'
  const spec = main ? problems.parse(definition.spec, body['spec'] ?? {}, 'spec') : undefined
  const status = main ? undefined : problems.parse(definition.status, body['status'] ?? {}, 'status')
  const warnings = judgeFields(problems.unknown, fields.duplicates, fields.mode)
  if (metadata !== undefined) {
    checkTarget(metadata, target, definition)
    if (target.name === undefined) problems.causes.push(...checkName(metadata, definition))
  }
  if (problems.causes.length > 0 || metadata === undefined)
    throw invalid(target, metadata?.name ?? metadata?.generateName, problems.causes)
  return { metadata, spec: spec as SpecOf<Kind>, status: status as StatusOf<Kind>, warnings }
}

/** `Environment.bothy.dev "x" is invalid: …`, with every field. */
export function invalid(target: Target, name: string | undefined, causes: readonly FieldCause[]): Fault {
  const { kind, plural } = KINDS[target.kind]
  const said = causes.map(cause => `${cause.field}: ${cause.message}`).join('; ')
  const object = { kind: plural, group: GROUP, ...(name === undefined ? {} : { name }) }
  const hint = `docs/reference/kinds.md, or 'kubectl explain ${plural}', lists the fields and what they take`
  return new Fault('invalid', 'object-invalid', `${kind}.${GROUP} "${name ?? ''}" is invalid: ${said}`, {
    causes,
    object,
    hint,
  })
}

/** Absent `apiVersion` and `kind` are taken from the URL: typed clients leave them out. */
function checkType(body: Record<string, unknown>, { kind }: KindDefinition<unknown, unknown>): void {
  if (body['apiVersion'] !== undefined && body['apiVersion'] !== API_VERSION)
    throw mismatch(`apiVersion is ${JSON.stringify(body['apiVersion'])}, not '${API_VERSION}'`)
  if (body['kind'] !== undefined && body['kind'] !== kind)
    throw mismatch(`kind is ${JSON.stringify(body['kind'])}, not '${kind}'`)
}

function checkTarget(
  metadata: ParsedMetadata,
  target: Target,
  { namespaced }: KindDefinition<unknown, unknown>,
): void {
  const expected = namespaced ? target.namespace : ''
  if ((metadata.namespace ?? expected) !== expected)
    throw mismatch(`metadata.namespace is '${metadata.namespace}', not '${expected}'`)
  if (target.name !== undefined && (metadata.name ?? target.name) !== target.name)
    throw mismatch(`metadata.name is '${metadata.name}', not '${target.name}'`)
}

function checkName(metadata: ParsedMetadata, definition: KindDefinition<unknown, unknown>): FieldCause[] {
  const { name, generateName } = metadata
  if ((name ?? '') === '' && (generateName ?? '') === '')
    return [
      { field: 'metadata.name', message: 'name or generateName is required', reason: 'FieldValueRequired' },
    ]
  const schema = definition.name ?? nameSchema
  // What generateName leads to ends with letters: judged as such.
  const candidate = (name ?? '') !== '' ? name : `${generateName}bcdfg`
  const result = schema.safeParse(candidate)
  if (result.success) return []
  const field = (name ?? '') !== '' ? 'metadata.name' : 'metadata.generateName'
  return result.error.issues.map(issue => ({ field, message: issue.message, reason: 'FieldValueInvalid' }))
}

function mismatch(why: string): Fault {
  const hint = 'make the body say the same as the URL, or leave it out of the body'
  return new Fault('malformed', 'body-not-target', `the object does not fit the URL: ${why}`, { hint })
}
