// What may never happen to an object, whoever asks: fields that stay as they were created, fields that are set once,
// deletion that cannot be undone, and the epoch that only rises. Pure.
import { isDeepStrictEqual } from 'node:util'
import { KINDS } from '../api/kinds/registry.ts'
import { GROUP, type Resource } from '../api/resource.ts'
import type { Part } from '../core/store.ts'
import { Fault, type FieldCause } from '../lib/fault.ts'

/** Status fields that only rise. `epoch` fences off whoever still acts for an earlier start. */
const MONOTONIC: readonly string[] = ['status.epoch']

/** Faults with `invalid` (and the fields concerned) when `before` must not become `after`, with `conflict` on an old epoch. */
export function checkTransition(before: Resource, after: Resource, part: Part): void {
  if (part === 'status') return checkMonotonic(before, after)
  const { immutable, setOnce } = KINDS[before.kind]
  const causes: FieldCause[] = []
  for (const field of immutable)
    if (!isDeepStrictEqual(at(before, field), at(after, field)))
      causes.push({
        field,
        message: 'the field cannot be changed after creation',
        reason: 'FieldValueInvalid',
      })
  for (const field of setOnce)
    if (at(before, field) !== undefined && !isDeepStrictEqual(at(before, field), at(after, field)))
      causes.push({ field, message: 'the field is set once and stays', reason: 'FieldValueInvalid' })
  if (before.metadata.deletionTimestamp !== undefined) {
    const known = new Set(before.metadata.finalizers)
    if (after.metadata.finalizers?.some(each => !known.has(each)))
      causes.push({
        field: 'metadata.finalizers',
        message: 'no finalizers can be added while the object is being deleted',
        reason: 'FieldValueForbidden',
      })
  }
  if (causes.length === 0) return
  const first = causes[0]!
  const message = `${before.kind}.${GROUP} "${before.metadata.name}" is invalid: ${first.field}: ${first.message}`
  const hint = 'make a new object with the other value, or leave the field as it is'
  throw new Fault('invalid', 'field-immutable', message, { causes, hint, object: describeObject(before) })
}

function checkMonotonic(before: Resource, after: Resource): void {
  for (const field of MONOTONIC) {
    const [was, is] = [at(before, field), at(after, field)]
    if (typeof was !== 'number' || (typeof is === 'number' && is >= was)) continue
    const message = `write ${field} ${String(is)} of ${before.metadata.name}: it is at ${was} already`
    throw new Fault('conflict', 'epoch-outdated', message, { object: describeObject(before) })
  }
}

/** For the `details` of a Status. */
export function describeObject(object: Resource) {
  const { name, uid } = object.metadata
  return { kind: KINDS[object.kind].plural, group: GROUP, name, uid }
}

function at(object: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((value, part) => {
    return value !== null && typeof value === 'object' ? (value as Record<string, unknown>)[part] : undefined
  }, object)
}
