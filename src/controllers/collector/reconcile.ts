import { KINDS } from '../../api/kinds/registry.ts'
import { API_VERSION, type Kind, keyOf, type OwnerReference, type Resource } from '../../api/resource.ts'
import { type Reconciler, settled } from '../../core/reconcile.ts'
import type { Store } from '../../core/store.ts'
import { isFault } from '../../lib/fault.ts'

/**
 * Removes objects of one kind when the last of their owners is gone. An owner is known by its uid: another object that
 * took its name owns nothing. References to kinds that are not ours are taken to be alive.
 */
export function collector<K extends Kind>(kind: K): Reconciler<K> {
  return {
    name: `collector-${kind.toLowerCase()}`,
    kind,
    also: (Object.keys(KINDS) as Kind[]).map(owner => ({ kind: owner, concerns: ownedBy })),
    async reconcile(_key, object, { store, log }) {
      if (object === undefined) return settled('it is gone')
      const owners = object.metadata.ownerReferences ?? []
      if (owners.length === 0) return settled('it has no owners')
      if (object.metadata.deletionTimestamp !== undefined) return settled('it is being deleted')
      for (const owner of owners) {
        // Asked of the store and never of a copy: what is removed does not come back.
        if (await isAlive(store, object, owner))
          return settled(`its owner ${owner.kind} ${owner.name} is there`)
      }
      const { uid, resourceVersion } = object.metadata
      await store.remove(keyOf(object) as never, { uid, resourceVersion }).catch(ignoreMissing)
      log.info({ owners: owners.map(({ uid: each }) => each) }, 'removed: its owners are gone')
      return settled('its owners are gone')
    },
  }
}

function ownedBy<K extends Kind>(changed: Resource, known: readonly Resource<K>[]) {
  return known
    .filter(each => each.metadata.ownerReferences?.some(({ uid }) => uid === changed.metadata.uid))
    .map(each => keyOf(each) as never)
}

async function isAlive(store: Store, object: Resource, owner: OwnerReference): Promise<boolean> {
  if (owner.apiVersion !== API_VERSION || !(owner.kind in KINDS)) return true
  const kind = owner.kind as Kind
  const namespace = KINDS[kind].namespaced ? (object.metadata.namespace ?? '') : ''
  const found = await store.find({ kind, namespace, name: owner.name })
  return found?.metadata.uid === owner.uid
}

function ignoreMissing(error: unknown): void {
  if (!isFault(error) || error.reason !== 'not_found') throw error
}
