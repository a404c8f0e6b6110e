// The store: resources with optimistic concurrency and an ordered change feed. PostgreSQL implements it in the control
// plane, the API client over HTTP for runners; both pass `store.contract.ts`, and one controller loop serves both.
import type { Propagation } from '../api/propagation.ts'
import type { Draft, Key, Kind, Resource } from '../api/resource.ts'

/** A point in the order of all commits. Decimal string, compared as a number; '0' is before everything. */
export type Revision = string

export interface ListOptions {
  readonly namespace?: string
  /** Equality on selectable fields, e.g. `{ 'spec.runner': 'here' }`. */
  readonly fields?: Readonly<Record<string, string>>
  /** Equality on labels. */
  readonly labels?: Readonly<Record<string, string>>
}

export interface PageOptions extends ListOptions {
  /** At most so many objects, at least 1. When there are more, the listing says how to go on. Absent: all. */
  readonly limit?: number
  /** From a listing of the same question: goes on after it, in the same snapshot. */
  readonly continue?: string
  /** As everything was at that revision. Absent: the latest. Not together with `continue`. */
  readonly at?: Revision
  /** Says how many are left, too; only without fields and labels. */
  readonly countsRemaining?: boolean
}

export interface Listing<K extends Kind> {
  readonly items: readonly Resource<K>[]
  /** The listing holds every commit up to here and none after it: where a watch goes on. */
  readonly at: Revision
  /** Leads to the rest; absent when this is the end. Opaque. */
  readonly continue?: string
  /** How many are left, about; only when asked for. */
  readonly remaining?: number
}

export interface Change<K extends Kind = Kind> {
  readonly at: Revision
  /** `gone`: the object was removed, or (when watching with fields or labels) no longer matches. */
  readonly type: 'put' | 'gone'
  /** After the change; for `gone` the last state that matched, with `resourceVersion` = `at`. */
  readonly object: Resource<K>
  /**
   * Before the change; absent when it was created, and (when watching with fields or labels) when it did not match
   * before: to this watcher the object is new. Watches over HTTP do not carry it.
   */
  readonly previous?: Resource<K>
}

export interface WatchOptions extends ListOptions {
  /** Changes after this revision. */
  readonly from: Revision
}

/** Which half of an object a write concerns; the other half is left as it is stored. */
export type Part = 'main' | 'status'

/** Who writes: what of the object's fields is theirs is kept in `metadata.managedFields`. */
export interface Writer {
  /** At most 128 printable characters, e.g. `kubectl-edit` or the name of a controller. */
  readonly manager: string
}

export interface Precondition {
  readonly uid?: string
  readonly resourceVersion?: string
}

export interface RemoveOptions extends Precondition {
  /** What becomes of the objects that it owns. Default: what its finalizers say, else `Background`. */
  readonly propagation?: Propagation
}

export interface Store {
  /** May miss; reads the latest committed state. */
  find<K extends Kind>(key: Key<K>): Promise<Resource<K> | undefined>
  /**
   * In order of namespaces and names. Faults with `expired` when the snapshot of a page or revision is no longer kept
   * (its `continue`, if any, leads to the rest in a later snapshot), with `timeout` when the revision is still to come,
   * with `malformed` when `continue` is none of ours.
   */
  list<K extends Kind>(kind: K, options?: PageOptions): Promise<Listing<K>>
  /**
   * Fills in uid, generation 1, times, empty status. Faults with `already_exists`. Without a writer, the draft's
   * managedFields are stored as they are.
   */
  create<K extends Kind>(draft: Draft<K>, by?: Writer): Promise<Resource<K>>
  /**
   * Writes one half of `next`. Faults with `conflict` unless `next.metadata.resourceVersion` is the current one, with
   * `not_found` when the object is gone. A write that changes nothing stores nothing and returns the current object.
   * `main`: generation moves when the spec differs; removing the last finalizer of a deleted object removes it, and
   * the last state is returned. `status`: spec and metadata of `next` are ignored, but
   * for managedFields. With a writer, what differs becomes that writer's; without, managedFields are stored as they
   * are.
   */
  update<K extends Kind>(next: Resource<K>, part: Part, by?: Writer): Promise<Resource<K>>
  /**
   * Asks for deletion: with finalizers the object gets a deletionTimestamp and is returned; without, it goes at once
   * and its last state is returned. Propagation is a finalizer too, added or taken away in the same write. Faults with
   * `not_found`, and with `conflict` when the precondition fails.
   */
  remove<K extends Kind>(key: Key<K>, options?: RemoveOptions): Promise<Resource<K>>
  /**
   * Changes after `from`, in commit order, none missing and none doubled, until `signal` aborts (then it returns).
   * Faults with `expired` when `from` is older than what is kept: list again. Faults with `unavailable` when the
   * connection breaks: watch again from the last change seen.
   */
  watch<K extends Kind>(kind: K, options: WatchOptions, signal: AbortSignal): AsyncIterable<Change<K>>
}
