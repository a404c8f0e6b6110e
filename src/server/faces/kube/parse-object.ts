// Bodies that hold an object: what a client wants stored, checked against the kind and the URL.
import type { KindDefinition } from '../../../api/kinds/kind.ts'
import { KINDS } from '../../../api/kinds/registry.ts'
import { nameSchema } from '../../../api/names.ts'
import type { Kind, Resource, SpecOf, StatusOf } from '../../../api/resource.ts'
import type { Part } from '../../../core/store.ts'
import { Fault, type FieldCause } from '../../../lib/fault.ts'
import { isObject } from './body.ts'
import { metadataSchema, nameFrom, type ParsedMetadata } from './metadata.ts'
import type { Served } from './served.ts'
import { type FieldValidation, formatPath, invalidValue, judgeFields, Problems } from './strict-parse.ts'

/** What the URL says; a body that says otherwise is refused. `namespace` is '' for cluster-wide resources. */
export interface Target {
  readonly served: Served
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

/**
 * Parses the half of `body` that is written; the other half is not looked at. Faults with `malformed` (not this kind,
 * not this name, unknown fields in strict mode) and `invalid` (with all causes).
 */
export function parseObject(
  body: unknown,
  target: Target,
  part: Part,
  fields: { readonly mode: FieldValidation; readonly duplicates: readonly string[] },
  before?: Resource,
): ParsedObject {
  if (!isObject(body))
    throw new Fault(
      'malformed',
      'body-no-object',
      'read the body: what it says, or makes of the object, is no object',
      {
        hint: 'send a JSON object, or a patch that leaves one',
      },
    )
  const { served } = target
  const definition = KINDS[served.stored] as KindDefinition<unknown, unknown>
  checkType(body, served)
  const problems = new Problems()
  const { apiVersion: _1, kind: _2, metadata: _3, ...rest } = body
  if (served.wire === undefined)
    problems.unknown.push(...Object.keys(rest).filter(key => key !== 'spec' && key !== 'status'))
  const stored = served.wire === undefined ? rest : { ...served.wire.toStored(rest, before) }
  const pathOf = (half: 'spec' | 'status') => (served.wire === undefined ? half : '')
  const metadata = problems.parse(metadataSchema, body['metadata'] ?? {}, 'metadata')
  const main = part === 'main'
  const spec = main ? problems.parse(definition.spec, stored['spec'] ?? {}, pathOf('spec')) : undefined
  const status = main
    ? undefined
    : problems.parse(definition.status, stored['status'] ?? {}, pathOf('status'))
  const warnings = judgeFields(problems.unknown, fields.duplicates, fields.mode)
  if (metadata !== undefined) {
    checkTarget(metadata, target)
    if (target.name === undefined) problems.causes.push(...checkName(metadata, definition))
    if (main && spec !== undefined)
      problems.causes.push(...(definition.check?.(target.namespace, spec) ?? []))
  }
  if (problems.causes.length > 0 || metadata === undefined)
    throw invalid(target, nameFor(target, body['metadata']), problems.causes)
  return { metadata, spec: spec as SpecOf<Kind>, status: status as StatusOf<Kind>, warnings }
}

/**
 * Metadata of the wrong shape is no metadata, of whatever kind: faults with `malformed`, where values that are merely not
 * allowed are `invalid`.
 */
export function checkMetadataShape(body: unknown, { kind, version }: Served): void {
  const metadata = isObject(body) ? (body['metadata'] ?? {}) : {}
  const issue = metadataSchema
    .safeParse(metadata)
    .error?.issues.find(({ code, path }) => code === 'invalid_type' && isPresent(metadata, path))
  if (issue === undefined) return
  const field = formatPath(issue.path, 'metadata')
  const why = issue.message.replace(/^Invalid input: /, '')
  throw new Fault(
    'malformed',
    'metadata-malformed',
    `${kind} in version "${version}" cannot be handled as a ${kind}: ${field}: ${why}`,
    { causes: [{ field, message: why }], hint: "'kubectl explain' shows what metadata consists of" },
  )
}

function isPresent(root: unknown, path: readonly PropertyKey[]): boolean {
  const value = path.reduce<unknown>((part, key) => (part as Record<PropertyKey, unknown>)[key], root)
  return value !== undefined && value !== null
}

/** `Environment.bothy.dev "x" is invalid: …`, with every field. */
export function invalid(target: Target, name: string | undefined, causes: readonly FieldCause[]): Fault {
  const { kind, plural, group } = target.served
  const said = causes.map(cause => `${cause.field}: ${cause.message}`).join('; ')
  // The kind, where other errors name the resource: so does Kubernetes.
  const object = { kind, group, ...(name === undefined ? {} : { name }) }
  const hint = `docs/reference/kinds.md, or 'kubectl explain ${plural}', lists the fields and what they take`
  const qualified = group === '' ? kind : `${kind}.${group}`
  return new Fault('invalid', 'object-invalid', `${qualified} "${name ?? ''}" is invalid: ${said}`, {
    causes,
    object,
    hint,
  })
}

/** What an object is called that may not even have a valid name. */
function nameFor(target: Target, metadata: unknown): string | undefined {
  if (target.name !== undefined) return target.name
  const { name, generateName } = isObject(metadata) ? metadata : {}
  return [name, generateName].find(each => typeof each === 'string' && each !== '') as string | undefined
}

/** Absent `apiVersion` and `kind` are taken from the URL: typed clients leave them out. */
function checkType(body: Record<string, unknown>, { kind, apiVersion }: Served): void {
  if (body['apiVersion'] !== undefined && body['apiVersion'] !== apiVersion)
    throw mismatch(`apiVersion is ${JSON.stringify(body['apiVersion'])}, not '${apiVersion}'`)
  if (body['kind'] !== undefined && body['kind'] !== kind)
    throw mismatch(`kind is ${JSON.stringify(body['kind'])}, not '${kind}'`)
}

function checkTarget(metadata: ParsedMetadata, target: Target): void {
  const expected = target.served.namespaced ? target.namespace : ''
  if ((metadata.namespace || expected) !== expected)
    throw mismatch(`metadata.namespace is '${metadata.namespace}', not '${expected}'`)
  if (target.name !== undefined && (metadata.name || target.name) !== target.name)
    throw mismatch(`metadata.name is '${metadata.name}', not '${target.name}'`)
}

function checkName(metadata: ParsedMetadata, definition: KindDefinition<unknown, unknown>): FieldCause[] {
  const { name, generateName } = metadata
  if ((name ?? '') === '' && (generateName ?? '') === '')
    return [
      {
        field: 'metadata.name',
        message: 'Required value: name or generateName is required',
        reason: 'FieldValueRequired',
      },
    ]
  const schema = definition.name ?? nameSchema
  // What generateName leads to ends with letters: judged as such.
  const candidate = (name ?? '') !== '' ? name : nameFrom(generateName ?? '', 'bcdfg')
  const result = schema.safeParse(candidate)
  if (result.success) return []
  const field = (name ?? '') !== '' ? 'metadata.name' : 'metadata.generateName'
  const given = (name ?? '') !== '' ? name : generateName
  return result.error.issues.map(issue => ({
    field,
    message: invalidValue(given, issue.message),
    reason: 'FieldValueInvalid',
  }))
}

function mismatch(why: string): Fault {
  const hint = 'make the body say the same as the URL, or leave it out of the body'
  return new Fault('malformed', 'body-not-target', `the object does not fit the URL: ${why}`, { hint })
}
