// A parsed body put into the object that is stored. Pure.
import { valueAt } from '../../../api/json-equal.ts'
import { KINDS } from '../../../api/kinds/registry.ts'
import { OWNER_ANNOTATION } from '../../../api/ownership.ts'
import type { Metadata, Resource } from '../../../api/resource.ts'
import type { Part } from '../../../core/store.ts'
import { Fault } from '../../../lib/fault.ts'
import { describeObject } from '../../transition.ts'
import { isObject } from './body.ts'
import type { ParsedMetadata } from './metadata.ts'
import type { ParsedObject } from './parse-object.ts'

const OUR_PREFIX = 'bothy.dev/'

/** The stored object with the half that was parsed in it. Faults with `conflict` when another object is meant. */
export function merge(before: Resource, parsed: ParsedObject, part: Part): Resource {
  const { uid, resourceVersion } = parsed.metadata
  if (uid !== undefined && uid !== '' && uid !== before.metadata.uid) {
    const message = `write ${before.metadata.name}: another object has this name now`
    const object = describeObject(before)
    throw new Fault('conflict', 'uid-differs', message, { hint: 'read the object again', object })
  }
  const revision = (resourceVersion ?? '') === '' ? before.metadata.resourceVersion : resourceVersion!
  if (part === 'status')
    return {
      ...before,
      metadata: { ...before.metadata, resourceVersion: revision, ...managedBy(parsed.metadata) },
      status: parsed.status!,
    } as Resource
  const { labels: _1, annotations: _2, finalizers: _3, ownerReferences: _4, ...fixed } = before.metadata
  const metadata: Metadata = {
    ...fixed,
    resourceVersion: revision,
    ...writableMetadata(keepOwner(before, parsed.metadata)),
  }
  return { ...before, metadata, spec: keepSetOnce(before, parsed.spec) } as Resource
}

/**
 * What is to be put in the place of `before`, with the finalizers of ours that it is silent about: manifests never name
 * them, and an environment that lost its runner's would leave a sandbox and a disk behind when it is deleted. An empty list
 * is not silent, nor is a patch: whoever means to take them off still can.
 */
export function keepFinalizers(before: Resource, parsed: ParsedObject): ParsedObject {
  if (parsed.metadata.finalizers !== undefined) return parsed
  const finalizers = before.metadata.finalizers?.filter(each => each.startsWith(OUR_PREFIX)) ?? []
  return finalizers.length === 0 ? parsed : { ...parsed, metadata: { ...parsed.metadata, finalizers } }
}

/** What a client may set in the metadata of an object. */
export function writableMetadata(
  metadata: ParsedMetadata,
): Pick<Metadata, 'labels' | 'annotations' | 'finalizers' | 'ownerReferences' | 'managedFields'> {
  const { labels, annotations, finalizers, ownerReferences } = metadata
  return {
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
    ...(finalizers === undefined ? {} : { finalizers }),
    ...(ownerReferences === undefined
      ? {}
      : { ownerReferences: ownerReferences as Metadata['ownerReferences'] & object }),
    ...managedBy(metadata),
  }
}

/** As the client wrote them: whether they make sense is judged when the write is accounted for. */
function managedBy({ managedFields }: ParsedMetadata): Pick<Metadata, 'managedFields'> {
  return managedFields === undefined
    ? {}
    : { managedFields: managedFields as Metadata['managedFields'] & object }
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
