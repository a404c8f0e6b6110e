// An object with and without its `metadata.managedFields`.
import type { ManagedFieldsEntry } from '../resource.ts'
import { decodeEntries, encodeEntries, type TrackedManagers } from './entries.ts'
import { asMap, type JsonMap, omit, own, sameValue } from './json.ts'

/** An object as it is on the wire. */
export interface TrackedObject {
  readonly metadata: object
}

/** The entries as they are, parsed or not. */
export function entriesOf(object: TrackedObject | undefined): unknown {
  return own(object?.metadata as JsonMap | undefined, 'managedFields')
}

/** The object without its entries: they are nobody's field. */
export function bare(object: TrackedObject | undefined): JsonMap | undefined {
  if (object === undefined) return undefined
  const map = object as object as JsonMap
  const metadata = asMap(own(map, 'metadata'))
  if (metadata === undefined || !Object.hasOwn(metadata, 'managedFields')) return map
  return { ...map, metadata: omit(metadata, ['managedFields']) }
}

/** The object with these entries; itself when it has them. */
export function withEntries<T extends TrackedObject>(
  object: T,
  entries: readonly ManagedFieldsEntry[] | undefined,
): T {
  if (entries === entriesOf(object)) return object
  const metadata = omit(object.metadata as JsonMap, ['managedFields'])
  return { ...object, metadata: entries === undefined ? metadata : { ...metadata, managedFields: entries } }
}

/** The entries to store: those of `live` themselves when they say the same. */
export function settledEntries(
  managers: TrackedManagers,
  live: TrackedObject | undefined,
): readonly ManagedFieldsEntry[] | undefined {
  const entries = encodeEntries(managers)
  const before = entriesOf(live)
  if (sameValue(entries, before)) return before as readonly ManagedFieldsEntry[]
  return entries.length === 0 ? undefined : entries
}

/** Who owns what in a stored object. */
export function recordedManagers(live: TrackedObject | undefined, apiVersion: string): TrackedManagers {
  try {
    return decodeEntries((entriesOf(live) ?? []) as readonly ManagedFieldsEntry[], apiVersion)
  } catch (error) {
    // Entries are parsed before they are stored. Should some be unreadable all the same, start over: to refuse would
    // make the object unwritable.
    if (error instanceof SyntaxError) return new Map()
    throw error
  }
}
