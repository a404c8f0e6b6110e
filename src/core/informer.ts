// A local copy of one kind, kept current by list and watch. Where it and the store disagree, the store is right and
// this copy is late; it is never wrong in the other direction: its entries only move forward.
import { type Key, type Kind, keyOf, type Resource } from '../api/resource.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock } from '../lib/clock.ts'
import { toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import type { ListOptions, Revision, Store } from './store.ts'

export interface InformerOptions<K extends Kind> {
  readonly store: Store
  readonly kind: K
  readonly scope?: ListOptions
  readonly clock: Clock
  readonly log: Log
  /** What to keep of an object, where the whole would take room for nothing. Its metadata must stay what it is. */
  readonly keep?: (object: Resource<K>) => Resource<K>
}

/** Called after the copy has changed; `object` is undefined when it is gone. */
export type OnChange<K extends Kind> = (
  key: Key<K>,
  object: Resource<K> | undefined,
  previous: Resource<K> | undefined,
) => void

export interface Informer<K extends Kind> {
  find(key: Key<K>): Resource<K> | undefined
  list(): readonly Resource<K>[]
  /**
   * Hands in what a write of one's own returned, so that the copy is not older than what one knows. Tells nobody of
   * it, unless the write was made on top of another state (`upon`) than this copy had: then it carries what somebody
   * else changed, and the watch brings that too late to be news.
   */
  feed(object: Resource<K>, upon: Revision): void
  /** Returns what ends it. */
  onChange(listener: OnChange<K>): () => void
  /** Resolves after the first successful list. */
  readonly synced: Promise<void>
  /** Lists and watches until `signal` aborts; survives whatever the store does meanwhile. */
  run(signal: AbortSignal): Promise<void>
}

const BACKOFF = { baseMs: 100, maxMs: 10_000 }
// Remembered removals keep a late answer to one's own write from bringing an object back; such answers are seconds late.
const KEEP_REMOVED = 10_000

export function createInformer<K extends Kind>(options: InformerOptions<K>): Informer<K> {
  const { store, kind, scope = {}, clock, log, keep = (whole: Resource<K>) => whole } = options
  const entries = new Map<string, Resource<K>>()
  const removed = new Map<string, Revision>()
  const listeners = new Set<OnChange<K>>()
  const { promise: synced, resolve: markSynced } = Promise.withResolvers<void>()

  const tell: OnChange<K> = (key, object, previous) => {
    for (const listener of listeners) listener(key, object, previous)
  }

  const put = (object: Resource<K>): { changed: boolean; previous: Resource<K> | undefined } => {
    const id = idOf(keyOf(object))
    const previous = entries.get(id)
    const { resourceVersion } = object.metadata
    const known = newest(previous?.metadata.resourceVersion, removed.get(id))
    if (!isAfter(resourceVersion, known)) return { changed: false, previous }
    entries.set(id, keep(object))
    removed.delete(id)
    return { changed: true, previous }
  }

  const drop = (object: Resource<K>, at: Revision): void => {
    const key = keyOf(object)
    const id = idOf(key)
    const previous = entries.get(id)
    if (previous !== undefined && isAfter(previous.metadata.resourceVersion, at)) return
    if (isAfter(at, removed.get(id))) {
      removed.delete(id) // Moves it to the end: the oldest are forgotten first.
      removed.set(id, at)
      const oldest = removed.keys().next().value
      if (removed.size > KEEP_REMOVED && oldest !== undefined) removed.delete(oldest)
    }
    if (previous === undefined) return
    entries.delete(id)
    tell(key, undefined, previous)
  }

  const relist = async (): Promise<Revision> => {
    const { items, at } = await store.list(kind, scope)
    const listed = new Set(items.map(object => idOf(keyOf(object))))
    for (const object of items) {
      const { changed, previous } = put(object)
      if (changed) tell(keyOf(object), object, previous)
    }
    for (const [id, object] of entries) {
      // What is newer than the listing was fed in meanwhile; the watch will say what became of it.
      if (!listed.has(id) && !isAfter(object.metadata.resourceVersion, at)) drop(object, at)
    }
    return at
  }

  const run = async (signal: AbortSignal): Promise<void> => {
    let from: Revision | undefined
    let failures = 0
    while (!signal.aborted) {
      try {
        if (from === undefined) {
          from = await relist()
          markSynced()
        }
        for await (const change of store.watch(kind, { ...scope, from }, signal)) {
          failures = 0
          from = change.at
          if (change.type === 'gone') drop(change.object, change.at)
          else {
            const { changed, previous } = put(change.object)
            if (changed) tell(keyOf(change.object), change.object, previous)
          }
        }
        // A watch that ends without a word is a broken connection too: the pause below keeps it from spinning.
        if (!signal.aborted) failures += 1
      } catch (error) {
        const fault = toFault(error)
        if (signal.aborted) return
        failures += 1
        if (fault.reason === 'expired') from = undefined
        log.warn(
          { kind, reason: fault.reason, code: fault.code, message: fault.message },
          'watch interrupted',
        )
      }
      if (!signal.aborted) await clock.sleep(backoffMs(failures, BACKOFF), signal).catch(() => undefined) // Aborted: the loop sees it.
    }
  }

  return {
    find: key => entries.get(idOf(key)),
    list: () => [...entries.values()],
    feed: (object, upon) => {
      // The last state of what is about to vanish would never be corrected if `gone` has passed already.
      const { deletionTimestamp, finalizers } = object.metadata
      if (deletionTimestamp !== undefined && (finalizers?.length ?? 0) === 0) return
      const { changed, previous } = put(object)
      if (changed && previous?.metadata.resourceVersion !== upon) tell(keyOf(object), object, previous)
    },
    onChange: listener => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    synced,
    run,
  }
}

function idOf(key: Pick<Key, 'namespace' | 'name'>): string {
  return `${key.namespace}/${key.name}`
}

function isAfter(one: Revision, other: Revision | undefined): boolean {
  return other === undefined || BigInt(one) > BigInt(other)
}

function newest(one: Revision | undefined, other: Revision | undefined): Revision | undefined {
  return one !== undefined && isAfter(one, other) ? one : other
}
