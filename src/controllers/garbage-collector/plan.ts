// What is to be done about one object, by Kubernetes' rules of ownership:
//
//   G1  An object goes when it has owners and none of them is left. An owner is its uid: another object of its name owns
//       nothing. Owners of kinds that are not ours are taken to be there.
//   G2  While one owner is left, references to others that are gone, or that wait for their dependents' end, are dropped.
//   G3  An owner that is deleted in the foreground takes its dependents along at once, and goes when none is left of
//       those that block its deletion. A circle of such waits does not block.
//   G4  An owner that is deleted as an orphan-maker goes when none of its dependents refers to it any more.
//   G5  An object that is being deleted already is left to whoever holds its finalizers.
import { FOREGROUND_FINALIZER, ORPHAN_FINALIZER, type Propagation } from '../../api/propagation.ts'
import type { Key, OwnerReference } from '../../api/resource.ts'
import { isDeletingDependents, type Node, type OwnershipGraph } from './ownership.ts'

/** `waiting`: it is being deleted in the foreground. */
export type OwnerState = 'there' | 'gone' | 'waiting'

/** `why` is what the logs say. */
export type Step =
  | { readonly do: 'nothing'; readonly why: string }
  /** Without `propagation`: as its finalizers say. */
  | { readonly do: 'remove'; readonly propagation?: Propagation; readonly why: string }
  | { readonly do: 'drop-references'; readonly uids: readonly string[]; readonly why: string }
  | { readonly do: 'drop-finalizer'; readonly finalizer: string; readonly why: string }
  /** Take the references to it from all that depends on it, then its finalizer. */
  | { readonly do: 'orphan-dependents'; readonly why: string }
  /** These are to be looked at first. */
  | { readonly do: 'look-at'; readonly keys: readonly Key[]; readonly why: string }

/**
 * `item` as it is stored now; `graph` may be a moment late. `stateOf` is asked about the owners of an object that is not
 * being deleted, and tells the truth.
 */
export function plan(
  item: Node,
  graph: OwnershipGraph,
  stateOf: (reference: OwnerReference) => OwnerState,
): Step {
  if (item.isDeleting) return planDeleted(item, graph)
  if (item.owners.length === 0) return { do: 'nothing', why: 'it has no owners' }
  const states = new Map(item.owners.map(reference => [reference.uid, stateOf(reference)]))
  const inState = (state: OwnerState) => [...states].filter(([, each]) => each === state).map(([uid]) => uid)
  const [there, gone, waiting] = [inState('there'), inState('gone'), inState('waiting')]
  if (there.length > 0)
    return gone.length + waiting.length === 0
      ? { do: 'nothing', why: 'its owners are there' }
      : { do: 'drop-references', uids: [...gone, ...waiting], why: 'one of its owners is left' } // G2
  // G3: what waits for it is not to go before its own dependents do.
  if (waiting.length > 0 && graph.dependents(item).length > 0)
    return { do: 'remove', propagation: 'Foreground', why: 'its owner waits for its end' }
  return { do: 'remove', why: waiting.length > 0 ? 'its owner waits for its end' : 'its owners are gone' } // G1
}

function planDeleted(item: Node, graph: OwnershipGraph): Step {
  if (item.finalizers.includes(ORPHAN_FINALIZER))
    return { do: 'orphan-dependents', why: 'it leaves its dependents behind' } // G4
  if (!isDeletingDependents(item)) return { do: 'nothing', why: 'it is being deleted' } // G5
  const blocking = graph
    .blocking(item)
    .filter(each => !(isDeletingDependents(each) && graph.waitsFor(each, item)))
  if (blocking.length === 0)
    return { do: 'drop-finalizer', finalizer: FOREGROUND_FINALIZER, why: 'nothing blocks its end' }
  const keys = blocking.filter(each => !isDeletingDependents(each)).map(({ key }) => key)
  return { do: 'look-at', keys, why: `${blocking.length} dependents block its end` }
}
