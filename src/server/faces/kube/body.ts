import { Fault } from '../../../lib/fault.ts'
import { type JsonText, parseJsonText } from './json-text.ts'
import { decodeObject, PROTOBUF } from './protobuf/envelope.ts'
import { parseYamlText } from './yaml-text.ts'

export type PatchType = 'merge' | 'json' | 'strategic'

/** By media type. */
type PatchTypes = Readonly<Record<string, PatchType>>

/** What every resource takes. */
export const PATCH_TYPES: PatchTypes = {
  'application/merge-patch+json': 'merge',
  'application/json-patch+json': 'json',
}

/** What the views take too, since clients have those kinds compiled in and patch them so. */
export const VIEW_PATCH_TYPES: PatchTypes = {
  ...PATCH_TYPES,
  'application/strategic-merge-patch+json': 'strategic',
}

/** `application/json; charset=utf-8` without what follows the semicolon; '' when absent. */
export function mediaTypeOf(contentType: string | undefined): string {
  return (contentType ?? '').split(';')[0]!.trim().toLowerCase()
}

/**
 * A body that must be an object: in JSON, or in protobuf if its kind is known so. Faults with `unsupported_media_type`
 * and `malformed`. No content type is taken for JSON, because old clients send none.
 */
export function parseObjectBody(contentType: string | undefined, body: Buffer | undefined): JsonText {
  const type = mediaTypeOf(contentType)
  if (type === PROTOBUF) return { value: decodeObject(body ?? Buffer.alloc(0)), duplicates: [] }
  if (type !== '' && type !== 'application/json') throw unsupported(type, 'application/json')
  const parsed = parseJsonText(textOf(body))
  if (!isObject(parsed.value))
    throw new Fault('malformed', 'body-no-object', 'read the body: not a JSON object', {
      hint: 'send one JSON object',
    })
  return parsed
}

/** A patch and what kind it is. */
export function parsePatchBody(
  contentType: string | undefined,
  body: Buffer | undefined,
  types: PatchTypes,
): { readonly type: PatchType; readonly json: JsonText } {
  const type = mediaTypeOf(contentType)
  const known = Object.hasOwn(types, type) ? types[type] : undefined
  if (known === undefined) throw unsupported(type, Object.keys(types).join(', '))
  return { type: known, json: parseJsonText(textOf(body)) }
}

export const APPLY = 'application/apply-patch+yaml'

/** Is the body a manifest to be applied on the server's side? */
export function isApply(contentType: string | undefined): boolean {
  return mediaTypeOf(contentType) === APPLY
}

/** A manifest: YAML, of which JSON is a part. Faults with `malformed`. */
export function parseAppliedBody(body: Buffer | undefined): JsonText {
  const text = textOf(body)
  const parsed = isJson(text) ? parseJsonText(text) : parseYamlText(text)
  if (isObject(parsed.value)) return parsed
  throw new Fault('malformed', 'body-no-object', 'read the body: not an object', {
    hint: 'send one manifest',
  })
}

/** Much faster to read than YAML, and what most clients send; but YAML may begin with a brace too. */
function isJson(text: string): boolean {
  if (!/^\s*\{/.test(text)) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false // Then it is YAML, or nothing that can be read, which its parser says.
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

function textOf(body: Buffer | undefined): string {
  if (body === undefined || body.length === 0)
    throw new Fault('malformed', 'body-missing', 'read the body: it is empty', { hint: 'send a JSON object' })
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch (cause) {
    throw new Fault('malformed', 'body-not-utf8', 'read the body: not UTF-8', { cause })
  }
}

function unsupported(type: string, accepted: string): Fault {
  const message = `read the body: the media type '${type}' is not supported; accepted: ${accepted}`
  const hint = `send it as ${accepted}`
  return new Fault('unsupported_media_type', 'media-type-unsupported', message, { hint })
}
