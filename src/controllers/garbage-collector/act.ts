import { ORPHAN_FINALIZER } from '../../api/propagation.ts'
import { type Key, type Kind, keyOf, type OwnerReference, type Resource } from '../../api/resource.ts'
import type { Store, Writer } from '../../core/store.ts'
import { isFault } from '../../lib/fault.ts'
import { COLLECTED, isDeletingDependents, nodeOf, ownerKey, referenceTo } from './ownership.ts'
import type { OwnerState, Step } from './plan.ts'

const BY: Writer = { manager: 'bothy-garbage-collector' }

/** The owners of `item` as they are now: asked of the store and not of a copy, because what is removed stays removed. */
export async function ownerStates(
  item: Resource,
  find: (key: Key) => Promise<Resource | undefined>,
): Promise<(reference: OwnerReference) => OwnerState> {
  const { ownerReferences = [], namespace = '' } = item.metadata
  const states = new Map<string, OwnerState>()
  for (const reference of ownerReferences) {
    const [known, state] = [states.get(reference.uid), await stateOf(reference, namespace, find)]
    // Named twice, once wrongly: it is where it is.
    if (known === undefined || known === 'gone') states.set(reference.uid, state)
  }
  return ({ uid }) => states.get(uid) ?? 'there'
}

async function stateOf(
  reference: OwnerReference,
  namespace: string,
  find: (key: Key) => Promise<Resource | undefined>,
): Promise<OwnerState> {
  const key = ownerKey(reference, namespace)
  if (key === undefined) return 'there'
  const owner = await find(key)
  if (owner?.metadata.uid !== reference.uid) return 'gone'
  return isDeletingDependents(nodeOf(owner)) ? 'waiting' : 'there'
}

/** Faults with `conflict` when `item` has changed since it was read: then it is to be judged again. */
export async function act(step: Step, item: Resource, store: Store): Promise<void> {
  const { uid, resourceVersion } = item.metadata
  if (step.do === 'remove') {
    const { propagation } = step
    const removal = { uid, resourceVersion, ...(propagation === undefined ? {} : { propagation }) }
    await store.remove(keyOf(item), removal).catch(ignoreMissing)
  } else if (step.do === 'drop-references') {
    await store.update(withoutReferences(item, step.uids), 'main', BY).catch(ignoreMissing)
  } else if (step.do === 'drop-finalizer') {
    await store.update(withoutFinalizer(item, step.finalizer), 'main', BY).catch(ignoreMissing)
  } else if (step.do === 'orphan-dependents') {
    await orphanDependents(item, store)
    await store.update(withoutFinalizer(item, ORPHAN_FINALIZER), 'main', BY).catch(ignoreMissing)
  }
}

/** Reads all that there is: a copy that is late would leave somebody behind, to be removed as soon as the owner is gone. */
async function orphanDependents(owner: Resource, store: Store): Promise<void> {
  const { namespace, uid } = owner.metadata
  const reach = namespace === undefined ? {} : { namespace }
  const self = nodeOf(owner)
  for (const kind of COLLECTED) {
    const { items } = await store.list(kind, reach)
    for (const each of items as readonly Resource[]) {
      if (referenceTo(self, nodeOf(each)) === undefined) continue
      await store.update(withoutReferences(each, [uid]), 'main', BY).catch(ignoreMissing)
    }
  }
}

function withoutReferences<K extends Kind>(object: Resource<K>, uids: readonly string[]): Resource<K> {
  const ownerReferences = (object.metadata.ownerReferences ?? []).filter(({ uid }) => !uids.includes(uid))
  return { ...object, metadata: { ...object.metadata, ownerReferences } }
}

function withoutFinalizer<K extends Kind>(object: Resource<K>, finalizer: string): Resource<K> {
  const finalizers = (object.metadata.finalizers ?? []).filter(each => each !== finalizer)
  return { ...object, metadata: { ...object.metadata, finalizers } }
}

function ignoreMissing(error: unknown): void {
  if (!isFault(error) || error.reason !== 'not_found') throw error
}
