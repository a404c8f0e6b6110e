import { describeKey, type Key, type Kind, type Resource } from '../api/resource.ts'
import type { Store } from '../core/store.ts'
import { Fault } from '../lib/fault.ts'
import { nearest } from './nearest.ts'

/** As `store.find`, but a miss is a fault that names what may have been meant. */
export async function getResource<K extends Kind>(store: Store, key: Key<K>): Promise<Resource<K>> {
  const found = await store.find(key)
  if (found !== undefined) return found
  const hint = await suggestion(store, key)
  throw new Fault('not_found', 'object-unknown', `get ${describeKey(key)}: it does not exist`, { hint })
}

async function suggestion(store: Store, key: Key): Promise<string> {
  const { items } = await store.list(key.kind, key.namespace === '' ? {} : { namespace: key.namespace })
  const meant = nearest(
    key.name,
    items.map(item => item.metadata.name),
  )
  if (meant !== undefined) return `did you mean '${meant}'?`
  return `bothy get ${key.kind.toLowerCase()} lists what there is`
}
