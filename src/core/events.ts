// Events: what happened to an object, for whoever looks at it later (`kubectl describe`, `kubectl events`). They are
// told aside: nobody waits for an event, and none is worth an error. What is written is decided in `events-plan.ts`.
//
//   record --> plan --> waiting (one entry per event) --> one worker --> store
import { apiVersionOf, namesOf } from '../api/kinds/kind-names.ts'
import type { Draft, Resource } from '../api/resource.ts'
import { backoffMs } from '../lib/backoff.ts'
import { type Clock, type Millis, microTimestamp } from '../lib/clock.ts'
import { isFault, REASONS, toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import { type EventWrite, eventName, type History, NO_HISTORY, plan } from './events-plan.ts'
import type { Store } from './store.ts'
import { writeMain } from './write.ts'

export interface Occurrence {
  /** What it happened to. */
  readonly regarding: Resource
  /** Warnings are what people look for first. */
  readonly type: 'Normal' | 'Warning'
  /** One word in CamelCase, for programs. */
  readonly reason: string
  /** A sentence for people; may repeat what comes from outside. */
  readonly note: string
  /** What was being done. Default: the reason. */
  readonly action?: string
  readonly related?: Resource
  /** When it happened. Default: now. For what others may tell of before the teller has its answer. */
  readonly atMs?: Millis
}

export interface EventRecorder {
  /** Returns at once and never throws. What happens again is counted; floods are cut short. */
  record(occurrence: Occurrence): void
}

/** For those whom nobody asked to tell. */
export const SILENT: EventRecorder = { record: () => undefined }

/** What happened and what can be done about it, as one note. */
export function withHint({ message, hint }: { message: string; hint?: string | undefined }): string {
  return hint === undefined ? message : `${message} (${hint})`
}

export interface Events {
  /** Tells as `controller`, e.g. `scheduler`. */
  recorder(controller: string): EventRecorder
  /**
   * Tries what waits about this object once, for no longer than `patienceMs`: for the rare moment after which nobody could
   * tell of it any more.
   */
  settle(regarding: Resource, patienceMs: Millis): Promise<void>
  /** Takes nothing more, and tries what waits once, for no longer than `patienceMs`. */
  close(patienceMs: Millis): Promise<void>
}

export interface EventsOptions {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  /** Which of several that report the same: a runner's name, a host's. */
  readonly instance: string
  /** How long an event waits before it is written. Default 300 ms. */
  readonly lingerMs?: Millis
}

interface Waiting {
  readonly id: string
  readonly uid: string
  readonly draft: Draft<'Event'>
  readonly isNew: boolean
  readonly dueMs: Millis
  tries: number
}

// A start takes a tenth of that: what tells of it never gets in its way, and what follows at once rides along.
const LINGER_MS: Millis = 300
// As many objects as Kubernetes' recorder remembers (`maxLruCacheEntries`), and several writes for some of them.
const MAX_OBJECTS = 4_096
const MAX_WAITING = 4_096
// With these pauses, a server that is away for about five minutes is waited for.
const MAX_TRIES = 12
const BACKOFF = { baseMs: 500, maxMs: 30_000 }
const AT_ONCE = 16

/** Tells events through `store`: in the control plane and, over HTTP, in a runner alike. */
export function createEvents(options: EventsOptions): Events {
  const { store, clock, log, instance, lingerMs = LINGER_MS } = options
  const histories = new Map<string, History>()
  // In order of arrival. A second write of the same event takes the place of the first.
  const waiting = new Map<string, Waiting>()
  const inHand = new Map<Waiting, Promise<void>>()
  const closed = new AbortController()
  let working = false

  const remember = (id: string, history: History): void => {
    histories.delete(id) // Moves it to the end: the object that is heard of least is forgotten first.
    histories.set(id, history)
    const oldest = histories.keys().next().value
    if (histories.size > MAX_OBJECTS && oldest !== undefined) histories.delete(oldest)
  }

  const enqueue = (next: Waiting): void => {
    const before = waiting.get(next.id)
    // The later one says all that the earlier one says.
    waiting.set(
      next.id,
      before === undefined
        ? next
        : { ...next, isNew: before.isNew, dueMs: before.dueMs, tries: before.tries },
    )
    const oldest = waiting.keys().next().value
    if (waiting.size > MAX_WAITING && oldest !== undefined) {
      waiting.delete(oldest)
      log.debug({ event: oldest }, 'event dropped: too many wait')
    }
    if (working) return
    working = true
    void work()
  }

  /** Ends when nothing waits any more; started again by the next event. */
  const work = async (): Promise<void> => {
    let failures = 0
    for (;;) {
      const next = waiting.values().next().value
      if (next === undefined || closed.signal.aborted) break
      const pauseMs = Math.max(next.dueMs - clock.now(), failures === 0 ? 0 : backoffMs(failures, BACKOFF))
      if (pauseMs > 0) await clock.sleep(pauseMs, closed.signal).catch(() => undefined) // Closed: the loop sees it.
      const due = waiting.values().next().value
      if (due === undefined || closed.signal.aborted) break
      waiting.delete(due.id)
      failures = (await attempt(due, true)) ? 0 : failures + 1
    }
    working = false
  }

  /** False when the store could not be asked: then it waits again, at the front, unless it was tried often. */
  const attempt = async (each: Waiting, again: boolean): Promise<boolean> => {
    const writing = write(store, each)
    inHand.set(each, writing)
    try {
      await writing
      return true
    } catch (error) {
      const { reason, code, message } = toFault(error)
      const fields = { event: each.id, reason, code, message }
      each.tries += 1
      const passing = REASONS[reason].retry === 'backoff'
      if (!passing || !again || each.tries >= MAX_TRIES || closed.signal.aborted) {
        log.debug(fields, 'event dropped')
        return !passing
      }
      log.debug(fields, 'event not written, trying again')
      const later = [...waiting]
      waiting.clear()
      for (const [id, entry] of [[each.id, each] as const, ...later])
        waiting.set(id, id === each.id && entry !== each ? { ...entry, isNew: each.isNew } : entry)
      return false
    } finally {
      inHand.delete(each)
    }
  }

  /** Once, whatever comes of it; with what is under way already. */
  const tryNow = async (concerns: (each: Waiting) => boolean, patienceMs: Millis): Promise<void> => {
    const over = new AbortController()
    const chosen = [...waiting.values()].filter(concerns)
    for (const each of chosen) waiting.delete(each.id)
    const all = async () => {
      await Promise.allSettled([...inHand].filter(([each]) => concerns(each)).map(([, writing]) => writing))
      for (let at = 0; at < chosen.length && !over.signal.aborted; at += AT_ONCE)
        await Promise.all(chosen.slice(at, at + AT_ONCE).map(each => attempt(each, false)))
    }
    const limit = clock.sleep(patienceMs, over.signal).catch(() => undefined) // Done earlier.
    await Promise.race([all(), limit])
    over.abort()
  }

  return {
    recorder: controller => ({
      record(occurrence) {
        if (closed.signal.aborted) return
        try {
          const { uid } = occurrence.regarding.metadata
          const nowMs = occurrence.atMs ?? clock.now()
          const id = `${controller}/${uid}`
          const { history, write } = plan(histories.get(id) ?? NO_HISTORY, occurrence, nowMs)
          remember(id, history)
          if (write === undefined) return
          const draft = toDraft(occurrence, write, { controller, instance })
          const { namespace = '', name } = draft.metadata
          const dueMs = clock.now() + lingerMs
          enqueue({ id: `${namespace}/${name}`, uid, draft, isNew: write.isNew, dueMs, tries: 0 })
        } catch (err) {
          // A mistake in telling must not become one in what was told.
          log.warn({ err, reason: occurrence.reason }, 'event not recorded')
        }
      },
    }),
    settle: ({ metadata }, patienceMs) => tryNow(({ uid }) => uid === metadata.uid, patienceMs),
    close(patienceMs) {
      closed.abort()
      return tryNow(() => true, patienceMs)
    },
  }
}

/** Faults as the store does. */
async function write(store: Store, { draft, isNew }: Waiting): Promise<void> {
  const { namespace = '', name } = draft.metadata
  if (isNew) {
    try {
      await store.create(draft)
      return
    } catch (error) {
      // An earlier try got through after all.
      if (!isFault(error) || error.reason !== 'already_exists') throw error
    }
  }
  const found = await store.find({ kind: 'Event', namespace, name })
  if (found === undefined) {
    await store.create(draft) // It grew old and was removed; it goes on.
    return
  }
  await writeMain(store, found, latest => {
    const { note, lastTimestamp, count } = draft.spec
    return { ...latest, spec: { ...latest.spec, note, lastTimestamp, count } }
  })
}

function toDraft(
  { regarding, related, action }: Occurrence,
  write: EventWrite,
  reporter: { readonly controller: string; readonly instance: string },
): Draft<'Event'> {
  const { uid, namespace, name } = regarding.metadata
  const { type, reason, note, count, firstMs, lastMs } = write
  return {
    kind: 'Event',
    // Where Kubernetes keeps events about objects of the whole cluster.
    metadata: { name: eventName({ name, uid }, reporter, write), namespace: namespace ?? 'default' },
    spec: {
      regarding: referenceTo(regarding),
      ...(related === undefined ? {} : { related: referenceTo(related) }),
      type,
      reason,
      note,
      action: action ?? reason,
      reportingController: reporter.controller,
      reportingInstance: reporter.instance,
      // Finer than seconds throughout: `kubectl describe` sorts by them, and a start is over within one.
      eventTime: microTimestamp(firstMs),
      firstTimestamp: microTimestamp(firstMs),
      lastTimestamp: microTimestamp(lastMs),
      count,
    },
  }
}

function referenceTo({ kind, metadata }: Resource): Draft<'Event'>['spec']['regarding'] {
  const { namespace = '', name, uid } = metadata
  return { apiVersion: apiVersionOf(namesOf(kind)), kind, namespace, name, uid }
}
