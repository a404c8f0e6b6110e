// Creating, replacing, patching and deleting, on top of `Access`.
import { jsonEqual, valueAt } from '../../../api/json-equal.ts'
import { KINDS } from '../../../api/kinds/registry.ts'
import type { Draft, Key, Metadata, Resource } from '../../../api/resource.ts'
import type { Part, Precondition } from '../../../core/store.ts'
import { Fault, isFault } from '../../../lib/fault.ts'
import { randomSuffix } from '../../../lib/ids.ts'
import type { Access, WriteOptions } from '../../access.ts'
import { OWNER_ANNOTATION } from '../../authorization.ts'
import { describeObject } from '../../transition.ts'
import { isObject, type PatchType } from './body.ts'
import { jsonPatch } from './json-patch.ts'
import type { JsonText } from './json-text.ts'
import { mergePatch } from './merge-patch.ts'
import type { ParsedMetadata } from './metadata.ts'
import { invalid, type ParsedObject, parseObject, type Target } from './parse-object.ts'
import type { FieldValidation } from './strict-parse.ts'

const NAME_TRIES = 8
const PATCH_TRIES = 8

export interface Write extends WriteOptions {
  readonly access: Access
  readonly mode: FieldValidation
}

export interface Written {
  readonly object: Resource
  readonly warnings: readonly string[]
}

/** Faults as `Access.create`; a name made from `generateName` is made again when it is taken. */
export async function createObject(write: Write, target: Target, body: JsonText): Promise<Written> {
  const parsed = parseObject(body.value, target, 'main', { mode: write.mode, duplicates: body.duplicates })
  const { metadata, spec, warnings } = parsed
  for (let tries = 1; ; tries++) {
    const generated = (metadata.name ?? '') === ''
    const name = generated ? `${metadata.generateName}${randomSuffix(5)}` : metadata.name!
    const namespace = KINDS[target.kind].namespaced ? { namespace: target.namespace } : {}
    const draft = {
      kind: target.kind,
      metadata: { name, ...namespace, ...writable(metadata) },
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
export async function replaceObject(write: Write, key: Key, part: Part, body: JsonText): Promise<Written> {
  const parsed = parseObject(body.value, key, part, { mode: write.mode, duplicates: body.duplicates })
  if ((parsed.metadata.resourceVersion ?? '') === '') {
    const message = 'must be specified for an update'
    throw invalid(key, key.name, [
      { field: 'metadata.resourceVersion', message, reason: 'FieldValueInvalid' },
    ])
  }
  const before = await write.access.get(key)
  return {
    object: await write.access.update(merge(before, parsed, part), part, write),
    warnings: parsed.warnings,
  }
}

/** PATCH: read, apply, write; again when somebody was faster, unless the patch itself names the revision it is for. */
export async function patchObject(
  write: Write,
  key: Key,
  part: Part,
  patch: { readonly type: PatchType; readonly json: JsonText },
): Promise<Written> {
  const pinned = namesRevision(patch)
  for (let tries = 1; ; tries++) {
    const before = await write.access.get(key)
    const apply = patch.type === 'merge' ? mergePatch : jsonPatch
    const result = apply(before, patch.json.value)
    const parsed = parseObject(result, key, part, { mode: write.mode, duplicates: patch.json.duplicates })
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

export async function deleteObject(
  write: Pick<Write, 'access' | 'dryRun'>,
  key: Key,
  precondition: Precondition,
): Promise<Resource> {
  return write.access.remove(key, precondition, write)
}

/** The stored object with the half that was parsed in it. */
function merge(before: Resource, parsed: ParsedObject, part: Part): Resource {
  const { uid, resourceVersion } = parsed.metadata
  if (uid !== undefined && uid !== '' && uid !== before.metadata.uid)
    throw new Fault(
      'conflict',
      'uid-differs',
      `write ${before.metadata.name}: another object has this name now`,
      {
        hint: 'read the object again',
        object: describeObject(before),
      },
    )
  const revision = (resourceVersion ?? '') === '' ? before.metadata.resourceVersion : resourceVersion!
  if (part === 'status')
    return {
      ...before,
      metadata: { ...before.metadata, resourceVersion: revision },
      status: parsed.status!,
    } as Resource
  const { labels: _1, annotations: _2, finalizers: _3, ownerReferences: _4, ...fixed } = before.metadata
  const metadata: Metadata = {
    ...fixed,
    resourceVersion: revision,
    ...writable(keepOwner(before, parsed.metadata)),
  }
  return { ...before, metadata, spec: keepSetOnce(before, parsed.spec) } as Resource
}

/** Whoever leaves the owner out of a replacement does not mean to change it. Naming another one is refused later. */
function keepOwner(before: Resource, metadata: ParsedMetadata): ParsedMetadata {
  const owner = before.metadata.annotations?.[OWNER_ANNOTATION]
  if (owner === undefined || metadata.annotations?.[OWNER_ANNOTATION] !== undefined) return metadata
  return { ...metadata, annotations: { ...metadata.annotations, [OWNER_ANNOTATION]: owner } }
}

/** Likewise fields that are set once, by somebody else: a manifest that leaves them out leaves them alone. */
function keepSetOnce(before: Resource, spec: unknown): unknown {
  const object = structuredClone({ spec }) as Record<string, unknown>
  for (const path of KINDS[before.kind].setOnce) {
    const value = valueAt(before, path)
    if (value === undefined || valueAt(object, path) !== undefined) continue
    const keys = path.split('.')
    const parent = valueAt(object, keys.slice(0, -1).join('.'))
    if (isObject(parent)) parent[keys.at(-1)!] = structuredClone(value)
  }
  return object['spec']
}

function writable(
  metadata: ParsedMetadata,
): Pick<Metadata, 'labels' | 'annotations' | 'finalizers' | 'ownerReferences'> {
  const { labels, annotations, finalizers, ownerReferences } = metadata
  return {
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(finalizers === undefined ? {} : { finalizers }),
    ...(ownerReferences === undefined
      ? {}
      : { ownerReferences: ownerReferences as Metadata['ownerReferences'] & object }),
  }
}

function namesRevision({ type, json }: { type: PatchType; json: JsonText }): boolean {
  const named = ['/metadata/resourceVersion', '/metadata/uid']
  if (type === 'json')
    return (
      Array.isArray(json.value) &&
      json.value.some(each => isObject(each) && named.includes(String(each['path'])))
    )
  return (
    !jsonEqual(valueAt(json.value, 'metadata.resourceVersion'), undefined) ||
    !jsonEqual(valueAt(json.value, 'metadata.uid'), undefined)
  )
}
