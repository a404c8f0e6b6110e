// Server-side apply: a manifest says which fields its manager wants, and nothing of the others.

import { type ApplyConflict, conflictMessage } from '../../../api/apply/conflicts.ts'
import { KUBECTL, withLastApplied } from '../../../api/apply/last-applied.ts'
import { applied } from '../../../api/field-tracking.ts'
import { valueAt } from '../../../api/json-equal.ts'
import { apiVersionOf, namesOf } from '../../../api/kinds/kind-names.ts'
import { KINDS } from '../../../api/kinds/registry.ts'
import { nameSchema } from '../../../api/names.ts'
import type { Draft, Resource } from '../../../api/resource.ts'
import type { Part } from '../../../core/store.ts'
import type { Clock } from '../../../lib/clock.ts'
import { Fault, isFault } from '../../../lib/fault.ts'
import type { JsonText } from './json-text.ts'
import { mergePatch } from './merge-patch.ts'
import { invalid, parseObject } from './parse-object.ts'
import { flag, invalidOption, type Query } from './query.ts'
import { type Served, toWire } from './served.ts'
import { merge, writableMetadata } from './stored-object.ts'
import { keyOf, type ObjectTarget, type Write, type Written } from './write.ts'

const TRIES = 16
const OVERTAKEN: readonly string[] = ['object-changed', 'revision-mismatch', 'name-taken', 'object-exists']

type Json = Readonly<Record<string, unknown>>

export interface Apply extends Write {
  readonly force: boolean
  readonly clock: Clock
}

export interface Applied extends Written {
  readonly created: boolean
}

/** Faults with `invalid` when nobody is named: what is applied must be somebody's. */
export function applyOptions(query: Query): { readonly force: boolean } {
  if ((query.get('fieldManager') ?? '') === '')
    throw invalidOption('fieldManager', 'is required for apply patch', 'FieldValueRequired')
  return { force: flag(query, 'force') }
}

/** `force` means nothing to other patches, and whoever writes it expects something. */
export function refuseForce(query: Query): void {
  if (query.get('force') !== null)
    throw invalidOption('force', 'may not be specified for non-apply patch', 'FieldValueForbidden')
}

/**
 * Creates the object, or changes the fields that the manifest names and takes away those that the manager named before
 * and no longer does. Faults with `conflict` and one cause for each field that is somebody else's, unless forced.
 */
export async function applyObject(
  write: Apply,
  target: ObjectTarget,
  part: Part,
  config: JsonText,
): Promise<Applied> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt(write, target, part, config)
    } catch (error) {
      // Somebody was faster: what they wrote may be a conflict of another kind, or none.
      const pinned = valueAt(config.value, 'metadata.resourceVersion') !== undefined
      const overtaken = isFault(error) && OVERTAKEN.includes(error.code)
      if (!overtaken || pinned || tries === TRIES) throw error
    }
  }
}

async function attempt(write: Apply, target: ObjectTarget, part: Part, config: JsonText): Promise<Applied> {
  const before = await find(write, target, part)
  const { served, namespace, name } = target
  const wanted = decide(write, target, part, before, config.value as Json)
  const fields = { mode: write.mode, duplicates: config.duplicates }
  const parsed = parseObject(wanted, target, part, fields, before)
  const { warnings } = parsed
  // What is whose has been decided above.
  const { by: _, ...options } = write
  if (before !== undefined) {
    const next = merge(before, parsed, part)
    return { object: await write.access.update(next, part, options), warnings, created: false }
  }
  checkName(target)
  const metadata = { name, ...(served.namespaced ? { namespace } : {}), ...writableMetadata(parsed.metadata) }
  const draft = { kind: served.stored, metadata, spec: parsed.spec } as Draft
  return { object: await write.access.create(draft, options), warnings, created: true }
}

/** The URL's, which becomes the object's. */
function checkName(target: ObjectTarget): void {
  const result = (KINDS[target.served.stored].name ?? nameSchema).safeParse(target.name)
  if (result.success) return
  const value = JSON.stringify(target.name)
  const message = `Invalid value: ${value}: ${result.error.issues.map(each => each.message).join(', ')}`
  throw invalid(target, target.name, [{ field: 'metadata.name', message, reason: 'FieldValueInvalid' }])
}

async function find(write: Apply, target: ObjectTarget, part: Part): Promise<Resource | undefined> {
  try {
    return await write.access.get(keyOf(target))
  } catch (error) {
    // A status belongs to an object that is there.
    if (part === 'main' && isFault(error) && error.reason === 'not_found') return undefined
    throw error
  }
}

/** The object that is to be, on the wire. Faults with `conflict`. */
function decide(
  { by, force, clock }: Apply,
  { served, name }: ObjectTarget,
  part: Part,
  before: Resource | undefined,
  config: Json,
): Json {
  checkType(served, config)
  if (KINDS[served.stored].untracked === true)
    return mergePatch(before === undefined ? {} : toWire(served, before), config) as Json
  const own = apiVersionOf(namesOf(served.stored))
  // A view shows nothing that could be applied but the metadata.
  const stored =
    served.wire === undefined
      ? config
      : { apiVersion: own, kind: served.stored, metadata: config['metadata'] ?? {} }
  const outcome = applied(served.stored, before, stored, part, { ...by, force, now: clock.now() })
  if (outcome.outcome === 'conflict') throw conflict(outcome.conflicts, served, name, before)
  // What clients compare their manifests with says what the manifest said.
  const object =
    served.wire !== undefined && by?.manager === KUBECTL
      ? withLastApplied(outcome.object, config)
      : outcome.object
  return { ...object, apiVersion: served.apiVersion, kind: served.kind }
}

/** Both are required: what is applied is kept in files, and has to say what it is. */
function checkType({ apiVersion, kind }: Served, config: Json): void {
  if (config['apiVersion'] === apiVersion && config['kind'] === kind) return
  const said = [config['apiVersion'], config['kind']]
    .map(each => (typeof each === 'string' ? each : `${JSON.stringify(each)}`).slice(0, 100))
    .join(' ')
  throw new Fault(
    'malformed',
    'body-not-target',
    `apply: the manifest is ${said}, not ${apiVersion} ${kind}`,
    {
      hint: `write apiVersion: ${apiVersion} and kind: ${kind}`,
    },
  )
}

/** In the words of Kubernetes, which people search for. */
function conflict(
  conflicts: readonly ApplyConflict[],
  { plural, group }: Served,
  name: string,
  before: Resource | undefined,
): Fault {
  const uid = before === undefined ? {} : { uid: before.metadata.uid }
  const causes = conflicts.map(({ path, message }) => ({
    field: path,
    message,
    reason: 'FieldManagerConflict',
  }))
  return new Fault('conflict', 'apply-conflict', conflictMessage(conflicts), {
    causes,
    object: { kind: plural, group, name, ...uid },
    hint: 'take the fields out of the manifest, or force the apply to take them over',
  })
}
