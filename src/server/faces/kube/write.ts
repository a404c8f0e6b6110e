// Creating, replacing, patching and deleting, on top of `Access`.
import { jsonEqual, valueAt } from '../../../api/json-equal.ts'
import type { Draft, Key, Resource } from '../../../api/resource.ts'
import type { Part, RemoveOptions, Writer } from '../../../core/store.ts'
import { Fault, isFault } from '../../../lib/fault.ts'
import { randomSuffix } from '../../../lib/ids.ts'
import type { Access, WriteOptions } from '../../access.ts'
import { isObject, type PatchType } from './body.ts'
import { jsonPatch } from './json-patch.ts'
import type { JsonText } from './json-text.ts'
import { mergePatch } from './merge-patch.ts'
import { nameFrom } from './metadata.ts'
import { checkMetadataShape, invalid, type ParsedObject, parseObject, type Target } from './parse-object.ts'
import { toWire } from './served.ts'
import { keepFinalizers, merge, writableMetadata } from './stored-object.ts'
import { strategicMergePatch } from './strategic-merge-patch.ts'
import type { FieldValidation } from './strict-parse.ts'

const NAME_TRIES = 8
const PATCH_TRIES = 16

const PATCHES = { merge: mergePatch, json: jsonPatch, strategic: strategicMergePatch }

export interface Write extends WriteOptions {
  readonly access: Access
  readonly mode: FieldValidation
  readonly by: Writer
}

export interface Written {
  readonly object: Resource
  readonly warnings: readonly string[]
}

/** One object of the URL. */
export type ObjectTarget = Target & { readonly name: string }

export function keyOf({ served, namespace, name }: ObjectTarget): Key {
  return { kind: served.stored, namespace, name }
}

/** Faults as `Access.create`; a name made from `generateName` is made again when it is taken. */
export async function createObject(write: Write, target: Target, body: JsonText): Promise<Written> {
  checkMetadataShape(body.value, target.served)
  const parsed = parseObject(body.value, target, 'main', { mode: write.mode, duplicates: body.duplicates })
  const { metadata, spec, warnings } = parsed
  const { served, namespace } = target
  for (let tries = 1; ; tries++) {
    const generated = (metadata.name ?? '') === ''
    const name = generated ? nameFrom(metadata.generateName ?? '', randomSuffix(5)) : metadata.name!
    const fixed = {
      name,
      ...((metadata.generateName ?? '') === '' ? {} : { generateName: metadata.generateName }),
      ...(served.namespaced ? { namespace } : {}),
    }
    const draft = {
      kind: served.stored,
      metadata: { ...fixed, ...writableMetadata(metadata) },
      spec,
    } as Draft
    try {
      return { object: await write.access.create(draft, write), warnings }
    } catch (error) {
      const again = generated && isFault(error) && error.reason === 'already_exists' && tries < NAME_TRIES
      if (!again) throw error
    }
  }
}

/** PUT: the body says all of the half that is written, and which revision it is meant for. */
export async function replaceObject(
  write: Write,
  target: ObjectTarget,
  part: Part,
  body: JsonText,
): Promise<Written> {
  const before = await write.access.get(keyOf(target))
  checkMetadataShape(body.value, target.served)
  const fields = { mode: write.mode, duplicates: body.duplicates }
  const parsed = parseObject(body.value, target, part, fields, before)
  if ((parsed.metadata.resourceVersion ?? '') === '') {
    const message = 'must be specified for an update'
    throw invalid(target, target.name, [
      { field: 'metadata.resourceVersion', message, reason: 'FieldValueInvalid' },
    ])
  }
  return {
    object: await write.access.update(merge(before, keepFinalizers(before, parsed), part), part, write),
    warnings: parsed.warnings,
  }
}

/** PATCH: read, apply, write; again when somebody was faster, unless the patch itself names the revision it is for. */
export async function patchObject(
  write: Write,
  target: ObjectTarget,
  part: Part,
  patch: { readonly type: PatchType; readonly json: JsonText },
): Promise<Written> {
  const pinned = namesRevision(patch)
  for (let tries = 1; ; tries++) {
    const before = await write.access.get(keyOf(target))
    const result = PATCHES[patch.type](toWire(target.served, before), patch.json.value)
    const fields = { mode: write.mode, duplicates: patch.json.duplicates }
    const parsed = parsePatched(result, target, part, fields, before)
    try {
      return {
        object: await write.access.update(merge(before, parsed, part), part, write),
        warnings: parsed.warnings,
      }
    } catch (error) {
      const again = !pinned && isFault(error) && error.reason === 'conflict' && tries < PATCH_TRIES
      if (!again || error.code === 'epoch-outdated') throw error
    }
  }
}

/**
 * A patch says nothing of the object's identity, or it says the same; and what is wrong with its result is the object's
 * fault, not the request's: `invalid`, which is also why `kubectl edit` opens the editor again.
 */
function parsePatched(
  result: unknown,
  target: ObjectTarget,
  part: Part,
  fields: Parameters<typeof parseObject>[3],
  before: Resource,
): ParsedObject {
  const { apiVersion, kind } = target.served
  const { name, uid } = before.metadata
  const causes = Object.entries({ apiVersion, kind, 'metadata.name': name, 'metadata.uid': uid })
    .map(([field, is]) => ({ field, is, wanted: valueAt(result, field) ?? '' }))
    .filter(({ is, wanted }) => wanted !== '' && wanted !== is)
    .map(({ field, wanted }) => ({
      field,
      message: `Invalid value: ${JSON.stringify(wanted).slice(0, 100)}: field is immutable`,
      reason: 'FieldValueInvalid',
    }))
  if (causes.length > 0) throw invalid(target, target.name, causes)
  try {
    return parseObject(result, target, part, fields, before)
  } catch (error) {
    if (!isFault(error) || error.code !== 'unknown-field') throw error
    const { code, message, causes, hint, object } = error
    throw new Fault('invalid', code, message, { causes, ...(hint && { hint }), ...(object && { object }) })
  }
}

export async function deleteObject(
  write: Pick<Write, 'access' | 'dryRun'>,
  target: ObjectTarget,
  removal: RemoveOptions,
): Promise<Resource> {
  return write.access.remove(keyOf(target), removal, write)
}

function namesRevision({ type, json }: { type: PatchType; json: JsonText }): boolean {
  const named = ['/metadata/resourceVersion', '/metadata/uid']
  if (type === 'json')
    return (
      Array.isArray(json.value) &&
      json.value.some(each => isObject(each) && named.some(path => path === each['path']))
    )
  return (
    !jsonEqual(valueAt(json.value, 'metadata.resourceVersion'), undefined) ||
    !jsonEqual(valueAt(json.value, 'metadata.uid'), undefined)
  )
}
