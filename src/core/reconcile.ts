import type { Key, Kind, Resource } from '../api/resource.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { ListOptions, Store } from './store.ts'

/** How a reconcile ended; `why` is what `bothy explain` and the logs say. Throwing means backoff. */
export type Outcome =
  /** Nothing more to do until something changes. */
  | { readonly kind: 'settled'; readonly why: string }
  /** Look again after `afterMs`, or earlier when something changes. */
  | { readonly kind: 'again'; readonly afterMs: Millis; readonly why: string }

export const settled = (why: string): Outcome => ({ kind: 'settled', why })
export const again = (afterMs: Millis, why: string): Outcome => ({ kind: 'again', afterMs, why })

export interface ReconcileContext {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  /** Aborts when the controller stops. */
  readonly signal: AbortSignal
  /** Names this attempt in logs, events and faults. */
  readonly attempt: string
  /** What the controller's copies hold of its own kind and of those in `also`: quick, and perhaps a moment late. */
  known<R extends Kind>(kind: R): readonly Resource<R>[]
  /**
   * Calls `listener` when the object changes while this attempt goes on (undefined: it is gone), so that long work can
   * be given up when nobody wants it any more. The change is reconciled afterwards in any case. Returns what ends it.
   */
  onChange(listener: (object: Resource | undefined) => void): () => void
}

/**
 * Brings the world one step nearer to an object's spec. Called at any time, any number of times, by one worker per
 * object; it never learns which event woke it.
 */
export interface Reconciler<K extends Kind> {
  /** Names the controller in logs, e.g. `scheduler`. */
  readonly name: string
  readonly kind: K
  /** Restricts which objects are watched, e.g. to those bound to one runner. */
  readonly scope?: ListOptions
  /** Other kinds whose change concerns objects of this one, and how to find whom it concerns. */
  readonly also?: readonly Related<K>[]
  /** `object` is the latest known state; undefined when it is gone. */
  reconcile(key: Key<K>, object: Resource<K> | undefined, context: ReconcileContext): Promise<Outcome>
}

export interface Related<K extends Kind> {
  readonly kind: Kind
  readonly scope?: ListOptions
  concerns(changed: Resource, known: readonly Resource<K>[]): readonly Key<K>[]
}
