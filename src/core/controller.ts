// The loop that feeds reconcilers, in the control plane and in runners alike: an informer says what changed, the queue
// lets one worker at a time look at it, and how that ended decides when to look again.
//
//   list + watch --> informer --> queue --> reconcile --+-- settled --> until something changes
//                                   ^                   +-- again ----> after a while
//                                   |                   +-- fault ----> backoff | reread at once | parked
//                                   +-------------------+
import { randomUUID } from 'node:crypto'
import { describeKey, type Key, type Kind, type Resource } from '../api/resource.ts'
import { aborted } from '../lib/aborted.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import { type Fault, REASONS, toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import { Turns } from '../lib/turns.ts'
import { createInformer, type Informer } from './informer.ts'
import type { Outcome, ReconcileContext, Reconciler } from './reconcile.ts'
import type { Revision, Store, Writer } from './store.ts'
import { WorkQueue } from './work-queue.ts'

export interface ControllerOptions {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  /** How many objects are worked on at once. Default 4. */
  readonly concurrency?: number
}

/** How the latest attempt on an object ended: what `explain` tells. */
export interface LastOutcome {
  readonly kind: Outcome['kind'] | 'retry' | 'parked'
  readonly why: string
  readonly attempt: string
  readonly startedMs: Millis
  readonly endedMs: Millis
  /** When it is looked at again, unless something changes earlier. */
  readonly nextMs?: Millis
  readonly fault?: Fault
}

export interface Controller<K extends Kind> {
  readonly name: string
  readonly informer: Informer<K>
  /** What it knows of a kind that it watches; see `ReconcileContext.known`. */
  known<R extends Kind>(kind: R): readonly Resource<R>[]
  /** Has an object looked at now: for what happens outside the store, e.g. a sandbox that ended. */
  nudge(key: Key<K>): void
  outcome(key: Key<K>): LastOutcome | undefined
  run(signal: AbortSignal): Promise<void>
}

// After so many conflicts in a row somebody else writes faster than we do; then manners are better than haste.
const REREADS_AT_ONCE = 3

/** Runs a reconciler until `signal` aborts; resolves when its last attempt has ended. */
export function runController<K extends Kind>(
  reconciler: Reconciler<K>,
  options: ControllerOptions & { readonly signal: AbortSignal },
): Promise<void> {
  return createController(reconciler, options).run(options.signal)
}

export function createController<K extends Kind>(
  reconciler: Reconciler<K>,
  { store, clock, log: parentLog, concurrency = 4 }: ControllerOptions,
): Controller<K> {
  const log = parentLog.child({ controller: reconciler.name })
  const queue = new WorkQueue({ clock })
  const informer = createInformer({ store, kind: reconciler.kind, clock, log, ...scopeOf(reconciler) })
  const related = (reconciler.also ?? []).map(relation => {
    const copy = createInformer({ store, kind: relation.kind, clock, log, ...scopeOf(relation) })
    return { relation, copy }
  })
  const outcomes = new Map<string, LastOutcome>()
  const by = { manager: `bothy-${reconciler.name}` }
  const feeding = feedingStore(store, by, [informer, ...related.map(({ copy }) => copy)] as FedInformer[], [
    reconciler.kind,
    ...related.map(({ relation }) => relation.kind),
  ])

  const known = <R extends Kind>(kind: R): readonly Resource<R>[] => {
    const isOwn = kind === (reconciler.kind as Kind)
    const copy = isOwn ? informer : related.find(({ relation }) => relation.kind === kind)?.copy
    return (copy?.list() ?? []) as unknown as readonly Resource<R>[]
  }

  const attemptOn = async (id: string, signal: AbortSignal): Promise<void> => {
    const key = keyFrom(reconciler.kind, id)
    const attempt = randomUUID().slice(0, 8)
    const startedMs = clock.now()
    const endings: (() => void)[] = []
    const context: ReconcileContext = {
      store: feeding,
      clock,
      log: log.child({ object: describeKey(key), attempt }),
      signal,
      attempt,
      known,
      onChange: listener => {
        const end = informer.onChange((changed, object) => {
          if (idOf(changed) === id) listener(object as Resource | undefined)
        })
        endings.push(end)
        return end
      },
    }
    const record = (outcome: Pick<LastOutcome, 'kind' | 'why' | 'nextMs' | 'fault'>) => {
      outcomes.set(id, { ...outcome, attempt, startedMs, endedMs: clock.now() })
    }
    const object = informer.find(key)
    try {
      const outcome = await reconciler.reconcile(key, object, context)
      queue.forget(id)
      if (outcome.kind === 'settled') {
        if (object === undefined) outcomes.delete(id)
        else record(outcome)
      } else {
        queue.addAfter(id, outcome.afterMs)
        record({ kind: 'again', why: outcome.why, nextMs: clock.now() + outcome.afterMs })
      }
      context.log.debug({ outcome: outcome.kind, why: outcome.why }, 'reconciled')
    } catch (error) {
      if (signal.aborted) return // The controller stops: what was interrupted is done again after the next start.
      await afterFault(key, id, toFault(error), record, context.log)
    } finally {
      for (const end of endings) end()
    }
  }

  const afterFault = async (
    key: Key<K>,
    id: string,
    fault: Fault,
    record: (outcome: Pick<LastOutcome, 'kind' | 'why' | 'nextMs' | 'fault'>) => void,
    attemptLog: Log,
  ): Promise<void> => {
    const { retry } = REASONS[fault.reason]
    const fields = { reason: fault.reason, code: fault.code, message: fault.message }
    if (retry === 'never') {
      queue.forget(id)
      attemptLog.error({ ...fields, cause: fault.cause }, 'parked until it changes')
      return record({ kind: 'parked', why: fault.message, fault })
    }
    const delayMs = queue.retry(id)
    if (retry === 'reread' && queue.failures(id) <= REREADS_AT_ONCE) {
      const latest = await store.find(key).catch(() => undefined) // The watch will bring it, later.
      if (latest !== undefined) informer.feed(latest, latest.metadata.resourceVersion)
      queue.add(id)
      attemptLog.debug(fields, 'read again')
      return record({ kind: 'retry', why: fault.message, nextMs: clock.now(), fault })
    }
    attemptLog.warn(
      { ...fields, delayMs, ...(fault.reason === 'internal' ? { err: fault } : {}) },
      'trying again later',
    )
    record({ kind: 'retry', why: fault.message, nextMs: clock.now() + delayMs, fault })
  }

  // After a start, thousands of attempts find nothing to do and wait for nothing.
  const turns = new Turns()
  const work = async (signal: AbortSignal): Promise<void> => {
    for (;;) {
      await turns.next()
      const id = await queue.take(signal)
      if (id === undefined) return
      try {
        await attemptOn(id, signal)
      } finally {
        queue.done(id)
      }
    }
  }

  return {
    name: reconciler.name,
    informer,
    known,
    nudge: key => queue.add(idOf(key)),
    outcome: key => outcomes.get(idOf(key)),
    async run(signal) {
      informer.onChange(key => queue.add(idOf(key)))
      for (const { relation, copy } of related) {
        copy.onChange((_key, object, previous) => {
          const changed = object ?? previous
          if (changed === undefined) return
          for (const key of relation.concerns(changed as Resource, informer.list())) queue.add(idOf(key))
        })
      }
      const copies = [informer, ...related.map(({ copy }) => copy as unknown as Informer<K>)]
      const watching = copies.map(copy => copy.run(signal))
      // Nobody decides from half a picture.
      await Promise.race([Promise.all(copies.map(copy => copy.synced)), aborted(signal)])
      if (!signal.aborted) await Promise.all(Array.from({ length: concurrency }, () => work(signal)))
      queue.close()
      await Promise.all(watching)
    },
  }
}

type FedInformer = { feed(object: Resource, upon: Revision): void }

/**
 * The store, with writes in the controller's name, and the answer to each handed to the copies: an attempt never sees
 * less than the one before.
 */
function feedingStore(
  store: Store,
  by: Writer,
  informers: readonly FedInformer[],
  kinds: readonly Kind[],
): Store {
  const fed = <R extends Kind>(object: Resource<R>, upon: Revision): Resource<R> => {
    kinds.forEach((kind, i) => {
      if (kind === object.kind) informers[i]?.feed(object as unknown as Resource, upon)
    })
    return object
  }
  return {
    find: key => store.find(key),
    list: (kind, options) => store.list(kind, options),
    // A creation is not fed: it may lie outside of the scope, and nobody works on it yet.
    create: draft => store.create(draft, by),
    update: async (next, part) => fed(await store.update(next, part, by), next.metadata.resourceVersion),
    remove: (key, removal) => store.remove(key, removal),
    watch: (kind, options, signal) => store.watch(kind, options, signal),
  }
}

function scopeOf(from: { readonly scope?: Scope }): { scope?: Scope } {
  return from.scope === undefined ? {} : { scope: from.scope }
}
type Scope = NonNullable<Reconciler<Kind>['scope']>

function idOf(key: Pick<Key, 'namespace' | 'name'>): string {
  return `${key.namespace}/${key.name}`
}

function keyFrom<K extends Kind>(kind: K, id: string): Key<K> {
  const slash = id.indexOf('/')
  return { kind, namespace: id.slice(0, slash), name: id.slice(slash + 1) }
}
