// Which events are written, decided from data alone. What happens again and again becomes one event that counts; what
// happens in ever new words becomes one that says so; and what does not end is told ever more rarely.
//
//   E1. The same (type, reason, note) about one object within ten minutes of the last time is the same event.
//   E2. The eleventh note of one type and reason within ten minutes goes into a combined event, and so do the next ones.
//   E3. One reporter writes 25 times about one object at once, and once in five minutes from then on. What is not
//       written is counted, and told with the next write.
//
// The figures are those of Kubernetes' own recorder (`defaultAggregateMaxEvents`, `defaultAggregateIntervalInSeconds`,
// `defaultSpamBurst`, `defaultSpamQPS` in client-go/tools/record/events_cache.go): what watches clusters is used to them.
import { createHash } from 'node:crypto'
import { cutNote } from '../api/event-note.ts'
import type { Millis } from '../lib/clock.ts'
import { plainNote } from './events-note.ts'

export const SAME_MS: Millis = 10 * 60_000
export const ALIKE = 10
export const BURST = 25
export const REFILL_MS: Millis = 5 * 60_000
// E3 keeps the number of events that are alive far below; this bounds what is remembered of those that were not written.
const MAX_SERIES = 64
const COMBINED = '(combined) '
// What Kubernetes takes as a name, less a dot and 16 digits.
const MAX_OBJECT_NAME = 253 - 17

/** What happened, as plain data. */
export interface Happening {
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly note: string
}

/** One event, told or not yet. */
export interface Series extends Happening {
  /** Stands for many different notes; its note is the latest of them. */
  readonly combined: boolean
  readonly firstMs: Millis
  readonly lastMs: Millis
  readonly count: number
  readonly told: boolean
}

/** What one reporter remembers of one object. */
export interface History {
  /** When all writes of a burst are there again: every write moves it on by the time that it takes to refill. */
  readonly fullMs: Millis
  /** The latest comes last. */
  readonly series: readonly Series[]
}

export interface Plan {
  readonly history: History
  /** Absent: this time nothing is written. */
  readonly write?: EventWrite
}

export interface EventWrite extends Series {
  /** False: the event has been written before, and is counted on. */
  readonly isNew: boolean
}

/** Of an object that nothing was told of yet. */
export const NO_HISTORY: History = { fullMs: 0, series: [] }

/** What follows from `happening` at `nowMs`. Its note is made fit to be shown. */
export function plan(before: History, happening: Happening, nowMs: Millis): Plan {
  const { type, reason } = happening
  const note = plainNote(happening.note)
  const alive = before.series.filter(each => nowMs - each.lastMs < SAME_MS)
  const alike = alive.filter(each => each.type === type && each.reason === reason)
  const own = alike.filter(each => !each.combined)
  const same = own.find(each => each.note === note) // E1
  const known = same ?? (own.length < ALIKE ? undefined : alike.find(each => each.combined)) // E2
  const combined = same === undefined && own.length >= ALIKE
  const next = {
    type,
    reason,
    note: combined ? cutNote(COMBINED + note) : note,
    combined,
    firstMs: known?.firstMs ?? nowMs,
    lastMs: nowMs,
    count: (known?.count ?? 0) + 1,
  }
  const fullMs = Math.max(before.fullMs, nowMs) + REFILL_MS
  const writes = fullMs - nowMs <= BURST * REFILL_MS // E3
  const series = [
    ...alive.filter(each => each !== known),
    { ...next, told: writes || known?.told === true },
  ].slice(-MAX_SERIES)
  const history = { fullMs: writes ? fullMs : before.fullMs, series }
  if (!writes) return { history }
  return { history, write: { ...next, told: true, isNew: known?.told !== true } }
}

/**
 * The name of an event: the object's, and 16 digits that follow from what it says, who says it and when it was said
 * first. So a write whose answer got lost can be tried again without making a second event.
 */
export function eventName(
  object: { readonly name: string; readonly uid: string },
  reporter: { readonly controller: string; readonly instance: string },
  { type, reason, note, combined, firstMs }: EventWrite,
): string {
  const said = combined ? 'combined' : `note ${note}`
  const parts = [object.uid, reporter.controller, reporter.instance, type, reason, firstMs, said]
  const digits = createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)
  return `${object.name.slice(0, MAX_OBJECT_NAME).replace(/[^a-z0-9]+$/, '')}.${digits}`
}
