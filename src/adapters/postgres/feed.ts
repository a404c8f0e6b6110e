// The change feed of one process. One reader polls the log and hands each change to every watcher that it concerns;
// notifications make it look at once, and only the log says what there is.
import type pg from 'pg'
import type { Kind } from '../../api/resource.ts'
import type { Change, Revision, WatchOptions } from '../../core/store.ts'
import type { Clock } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import type { Log } from '../../lib/log.ts'
import { Pace } from './pace.ts'
import { type ChangeRow, type FeedEntry, toFeedEntry } from './rows.ts'
import { checkSelection, isSelected } from './selection.ts'
import { sqlFault } from './sql-faults.ts'
import { Subscription } from './subscription.ts'
import { SubscriptionIndex } from './subscription-index.ts'

const POLL_MS = 250
const PAGE = 1_000
// Watchers need not hear of a restart of PostgreSQL; after this long they must know that they see nothing.
const GRACE_MS = 5_000

const HEAD = `
  SELECT f.revision AS floor,
         greatest(f.revision, coalesce((SELECT max(c.revision) FROM bothy.change c), 0)) AS head
    FROM bothy.floor f`

// The floor in the same snapshot: it says whether anything between $1 and the first row has been forgotten.
const page = (kind: '' | 'AND c.kind = $4') => `
  SELECT f.revision AS floor, c.*
    FROM bothy.floor f
    LEFT JOIN LATERAL (
      SELECT c.revision, c.kind, c.namespace, c.removed, c.body, c.previous_revision, c.previous
        FROM bothy.change c
       WHERE c.revision > $1 AND c.revision <= $2 ${kind}
       ORDER BY c.revision LIMIT $3) c ON true
   ORDER BY c.revision`
const PAGE_OF_ALL = page('')
const PAGE_OF_KIND = page('AND c.kind = $4')
const END_OF_TIME = 9_223_372_036_854_775_807n

export class Feed {
  readonly #pool: pg.Pool
  readonly #clock: Clock
  readonly #log: Log
  readonly #subscriptions = new SubscriptionIndex()
  /** Everything up to here has been handed out. Undefined while nobody watches: nothing is read then. */
  #position: bigint | undefined
  #wake: () => void = () => undefined
  #failingSinceMs: number | undefined
  #closed: Fault | undefined

  constructor({ pool, clock, log }: { pool: pg.Pool; clock: Clock; log: Log }) {
    this.#pool = pool
    this.#clock = clock
    this.#log = log
  }

  /** Something may have changed: look now instead of at the next poll. */
  readonly nudge = (): void => this.#wake()

  /** Reads the log until `signal` aborts; then every watcher gets `unavailable`. */
  async run(signal: AbortSignal): Promise<void> {
    const pace = new Pace()
    while (!signal.aborted) {
      // Armed before reading, so that a nudge during the read is not lost.
      const nudged = new Promise<void>(resolve => {
        this.#wake = resolve
      })
      const more = await this.#readOnce()
      if (!more) await this.#pause(nudged, signal)
      await pace.turn(signal)
    }
    this.#closed = new Fault('unavailable', 'store-closed', 'watch: the store was closed')
    this.#subscriptions.failAll(this.#closed)
  }

  // One generator and no `yield*` into another: each layer would cost every change two turns of the event loop's queue.
  async *watch<K extends Kind>(
    kind: K,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncIterable<Change<K>> {
    let subscription: Subscription | undefined
    try {
      checkSelection(kind, options)
      if (signal.aborted) return
      const from = parseRevision(options.from)
      const { floor, head } = await this.#head(kind)
      if (from < floor) throw expired(kind, from, `changes are kept from ${floor} on`)
      if (from > head)
        throw expired(kind, from, `the store is at ${head} only: it was restored from a backup`)

      if (this.#closed !== undefined) throw this.#closed
      subscription = new Subscription(kind, options, from, signal)
      this.#position ??= head
      const live = this.#position
      this.#subscriptions.add(subscription)
      for await (const entry of this.#history(kind, from, live, signal)) {
        const change = isInNamespace(entry, options) ? toChange<K>(entry, options) : undefined
        if (change !== undefined) yield change
      }
      while (!signal.aborted) {
        for (const entry of await subscription.take()) {
          if (signal.aborted) return
          const change = toChange<K>(entry, options)
          if (change !== undefined) yield change
        }
      }
    } catch (error) {
      // Whoever has left does not care how the database fared.
      if (!signal.aborted) throw error
    } finally {
      if (subscription !== undefined) this.#end(subscription)
    }
  }

  #end(subscription: Subscription): void {
    subscription.close()
    this.#subscriptions.delete(subscription)
    if (this.#subscriptions.size === 0) this.#position = undefined
  }

  /** What the reader had handed out before the watcher came. */
  async *#history(kind: Kind, from: bigint, to: bigint, signal: AbortSignal): AsyncIterable<FeedEntry> {
    let position = from
    while (position < to && !signal.aborted) {
      const { floor, entries } = await this.#page(`watch ${kind}`, PAGE_OF_KIND, [position, to, PAGE, kind])
      if (position < floor) throw expired(kind, position, `changes are kept from ${floor} on`)
      for (const entry of entries) {
        if (signal.aborted) return
        yield entry
      }
      position = entries.length < PAGE ? to : entries.at(-1)!.revision
    }
  }

  /** True when there may be more to read at once. */
  async #readOnce(): Promise<boolean> {
    const position = this.#position
    if (position === undefined) return false
    try {
      const { floor, entries } = await this.#page('read the change log', PAGE_OF_ALL, [
        position,
        END_OF_TIME,
        PAGE,
      ])
      this.#failingSinceMs = undefined
      // Watchers came and went during the read: the newcomers set a position of their own.
      if (this.#position !== position) return true
      if (position < floor) {
        this.#position = floor
        this.#subscriptions.failAll(expired('resources', position, `changes are kept from ${floor} on`))
        return true
      }
      for (const entry of entries) {
        this.#position = entry.revision
        this.#subscriptions.push(entry)
      }
      return entries.length === PAGE
    } catch (error) {
      this.#onFailure(error)
      return false
    }
  }

  #onFailure(error: unknown): void {
    const now = this.#clock.now()
    if (this.#failingSinceMs === undefined) {
      this.#failingSinceMs = now
      this.#log.warn({ error: String(error) }, 'change log cannot be read, trying again')
    }
    if (now - this.#failingSinceMs >= GRACE_MS) this.#subscriptions.failAll(sqlFault(error, 'watch'))
  }

  async #pause(nudged: Promise<void>, signal: AbortSignal): Promise<void> {
    const timer = new AbortController()
    const poll = this.#clock.sleep(POLL_MS, AbortSignal.any([signal, timer.signal]))
    // Both ends of the sleep, by time and by abort, mean: go on.
    await Promise.race([nudged, poll.catch(() => undefined)])
    timer.abort()
  }

  async #head(kind: Kind): Promise<{ floor: bigint; head: bigint }> {
    try {
      const { rows } = await this.#pool.query<{ floor: string; head: string }>({
        name: 'feed-head',
        text: HEAD,
      })
      return { floor: BigInt(rows[0]!.floor), head: BigInt(rows[0]!.head) }
    } catch (error) {
      throw sqlFault(error, `watch ${kind}`)
    }
  }

  async #page(
    what: string,
    text: string,
    values: readonly [bigint, bigint, number, Kind?],
  ): Promise<{ floor: bigint; entries: FeedEntry[] }> {
    type Row = { floor: string } & (ChangeRow | { revision: null })
    try {
      const name = text === PAGE_OF_ALL ? 'feed-page' : 'feed-page-of-kind'
      const { rows } = await this.#pool.query<Row>({
        name,
        text,
        values: values.map(value => value?.toString()),
      })
      const changes = rows.filter((row): row is { floor: string } & ChangeRow => row.revision !== null)
      return { floor: BigInt(rows[0]!.floor), entries: changes.map(toFeedEntry) }
    } catch (error) {
      throw sqlFault(error, what)
    }
  }
}

function isInNamespace(entry: FeedEntry, { namespace }: WatchOptions): boolean {
  return namespace === undefined || entry.namespace === namespace
}

/** What the change is to a watcher with this selection: nothing, when it concerned neither before nor after. */
function toChange<K extends Kind>(entry: FeedEntry, options: WatchOptions): Change<K> | undefined {
  // Made once for all who select nothing: they are many, and they may share what they make of it, too.
  if (options.fields === undefined && options.labels === undefined)
    return (entry.change ??= selectChange(entry, options)) as Change<K> | undefined
  return selectChange(entry, options) as Change<K> | undefined
}

function selectChange(entry: FeedEntry, options: WatchOptions): Change | undefined {
  const at = entry.revision.toString()
  const { object, previous: before } = entry
  const previous = before !== undefined && isSelected(before, options) ? { previous: before } : {}
  if (!entry.removed && isSelected(object, options)) return { at, type: 'put', object, ...previous }
  if (previous.previous === undefined) return undefined
  // A removed object carries the revision of its removal already.
  if (entry.removed && isSelected(object, options)) return { at, type: 'gone', object, ...previous }
  // Out of sight: the last state that was in sight, since the new one may be none of the watcher's business.
  const last = previous.previous
  const metadata = { ...last.metadata, resourceVersion: at }
  return { at, type: 'gone', object: { ...last, metadata }, ...previous }
}

function parseRevision(text: Revision): bigint {
  if (/^[0-9]{1,18}$/.test(text)) return BigInt(text)
  const message = `watch from revision '${text.slice(0, 40)}': not a revision`
  throw new Fault('malformed', 'revision-malformed', message, { hint: 'use what a list or a change gave' })
}

function expired(what: string, from: bigint, why: string): Fault {
  const message = `watch ${what} from revision ${from}: ${why}`
  return new Fault('expired', 'revision-expired', message, { hint: 'list again and watch from there' })
}
