import { jsonEqual } from '../api/json-equal.ts'
import { describeKey, type Kind, keyOf, type Resource, type StatusOf } from '../api/resource.ts'
import { Fault, isFault } from '../lib/fault.ts'
import type { Store } from './store.ts'

// Somebody else writes the other conditions of the same status now and then; more than a few in a row is a fight.
const ATTEMPTS = 8

/**
 * Writes the status that `change` makes of the latest one. When somebody else wrote in between, reads again and asks
 * `change` again; so it must be pure, and look only at what it is given. Undefined from `change`: leave it as it is.
 * Returns the object as it is then. Faults with `not_found` when the object is gone, or another has its name.
 */
export function writeStatus<K extends Kind>(
  store: Store,
  object: Resource<K>,
  change: (latest: Resource<K>) => StatusOf<K> | undefined,
): Promise<Resource<K>> {
  return write(store, object, 'status', latest => {
    const status = change(latest)
    return status === undefined ? undefined : { ...latest, status }
  })
}

/** As `writeStatus`, for the other half. */
export function writeMain<K extends Kind>(
  store: Store,
  object: Resource<K>,
  change: (latest: Resource<K>) => Resource<K> | undefined,
): Promise<Resource<K>> {
  return write(store, object, 'main', change)
}

async function write<K extends Kind>(
  store: Store,
  object: Resource<K>,
  part: 'main' | 'status',
  change: (latest: Resource<K>) => Resource<K> | undefined,
): Promise<Resource<K>> {
  let latest = object
  for (let attempt = 1; ; attempt++) {
    const next = change(latest)
    if (next === undefined || jsonEqual(next, latest)) return latest
    try {
      return await store.update(next, part)
    } catch (error) {
      if (!isFault(error) || error.reason !== 'conflict' || attempt >= ATTEMPTS) throw error
    }
    const read: Resource<K> | undefined = await store.find<K>(keyOf<K>(object))
    if (read === undefined || read.metadata.uid !== object.metadata.uid) {
      throw new Fault('not_found', 'object-gone', `write ${describeKey(keyOf(object))}: it is gone`)
    }
    latest = read
  }
}
