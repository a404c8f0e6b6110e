// One loop over the objects of all kinds:
//
//   informers --> graph --> queue: the object, what depends on it, what waits for it --> read again, plan, act
import { describeKey, type Key, type Kind } from '../../api/resource.ts'
import type { ControllerOptions } from '../../core/controller.ts'
import { type EventRecorder, SILENT } from '../../core/events.ts'
import { createInformer } from '../../core/informer.ts'
import { WorkQueue } from '../../core/work-queue.ts'
import { aborted } from '../../lib/aborted.ts'
import { toFault } from '../../lib/fault.ts'
import { act, ownerStates } from './act.ts'
import {
  awaitsCollector,
  COLLECTED,
  isDeletingDependents,
  type Node,
  nodeOf,
  OwnershipGraph,
} from './ownership.ts'
import { plan } from './plan.ts'

/** Collects until `signal` aborts; resolves when the last attempt has ended. */
export async function runGarbageCollector(
  options: ControllerOptions & { readonly signal: AbortSignal; readonly events?: EventRecorder },
): Promise<void> {
  const { store, clock, signal, concurrency = 4, events = SILENT } = options
  const log = options.log.child({ controller: 'garbage-collector' })
  const graph = new OwnershipGraph()
  const queue = new WorkQueue({ clock })
  const add = (key: Key) => queue.add(idOf(key))

  const informers = COLLECTED.map(kind => createInformer({ store, kind, clock, log }))
  for (const informer of informers)
    informer.onChange((_key, object, previous) => {
      const [before, after] = [previous && nodeOf(previous), object && nodeOf(object)]
      if (before !== undefined && before.uid !== after?.uid) graph.remove(before.uid)
      if (after !== undefined) graph.put(after)
      for (const key of concerned(before, after, graph)) add(key)
    })

  const attempt = async (id: string): Promise<void> => {
    const item = await store.find(keyFrom(id))
    if (item === undefined) return
    const node = nodeOf(item)
    // What is being deleted goes whatever its owners do.
    const stateOf = node.isDeleting ? () => 'there' as const : await ownerStates(item, key => store.find(key))
    const step = plan(node, graph, stateOf)
    if (step.do === 'nothing') return
    if (step.do === 'look-at') return step.keys.forEach(add)
    await act(step, item, store)
    log.info({ object: describeKey(node.key), uid: node.uid, step: step.do, why: step.why }, 'collected')
    if (step.do === 'remove')
      events.record({
        regarding: item,
        type: 'Normal',
        reason: 'Collected',
        note: step.why,
        action: 'Deleting',
      })
  }

  const work = async (): Promise<void> => {
    for (;;) {
      const id = await queue.take(signal)
      if (id === undefined) return
      try {
        await attempt(id)
        queue.forget(id)
      } catch (error) {
        if (signal.aborted) return
        const { reason, code, message } = toFault(error)
        const delayMs = queue.retry(id)
        // A conflict is everyday life: it was changed between reading and writing.
        log[reason === 'conflict' ? 'debug' : 'warn'](
          { reason, code, message, delayMs },
          'trying again later',
        )
      } finally {
        queue.done(id)
      }
    }
  }

  const watching = informers.map(informer => informer.run(signal))
  // From half a picture, dependents would go in the wrong order.
  await Promise.race([Promise.all(informers.map(informer => informer.synced)), aborted(signal)])
  if (!signal.aborted) await Promise.all(Array.from({ length: concurrency }, work))
  queue.close()
  await Promise.all(watching)
}

/** Whose turn it is after a change: nobody's, after most. */
function concerned(before: Node | undefined, after: Node | undefined, graph: OwnershipGraph): Key[] {
  const keys: Key[] = []
  const gone = before !== undefined && before.uid !== after?.uid ? before : undefined
  // Its dependents have lost an owner, or find it again.
  if (gone !== undefined) keys.push(...graph.naming(gone.uid).map(({ key }) => key))
  if (after !== undefined) {
    const same = gone === undefined ? before : undefined
    if ((after.owners.length > 0 || awaitsCollector(after)) && !isSame(same, after)) keys.push(after.key)
    if (isDeletingDependents(after) && !(same && isDeletingDependents(same)))
      keys.push(...graph.dependents(after).map(({ key }) => key))
  }
  // Owners that wait for it may go on.
  for (const { uid } of [...(before?.owners ?? []), ...(after?.owners ?? [])]) {
    const owner = graph.get(uid)
    if (owner !== undefined && isDeletingDependents(owner)) keys.push(owner.key)
  }
  return keys
}

function isSame(one: Node | undefined, other: Node): boolean {
  return (
    one !== undefined &&
    one.isDeleting === other.isDeleting &&
    JSON.stringify([one.owners, one.finalizers]) === JSON.stringify([other.owners, other.finalizers])
  )
}

function idOf({ kind, namespace, name }: Key): string {
  return `${kind}/${namespace}/${name}`
}

function keyFrom(id: string): Key {
  const [kind, namespace, name] = id.split('/') as [Kind, string, string]
  return { kind, namespace, name }
}
