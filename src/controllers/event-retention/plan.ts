// Which events are removed, decided from data alone: what is too old, and of too many the oldest, about one object and
// in one namespace. That the object is gone is no reason: why it went is what people look for then.
import type { Millis } from '../../lib/clock.ts'

/** What needs to be known of an event. */
export interface KnownEvent {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly resourceVersion: string
  /** What it is about: a uid, or a name where there is none. */
  readonly about: string
  readonly createdMs: Millis
  /** When it happened last, as it says itself. */
  readonly lastMs: Millis | undefined
}

export interface Limits {
  readonly ageMs: Millis
  readonly perObject: number
  readonly perNamespace: number
}

/**
 * Kubernetes keeps events for one hour (`--event-ttl`), which is over before somebody comes back from lunch to an
 * environment that did not start; three hours are a morning. A hundred about one object is more than anybody reads, and
 * more than a recorder writes in that time. Five thousand are a few megabytes, and a list of them is quick.
 */
export const LIMITS: Limits = { ageMs: 3 * 60 * 60_000, perObject: 100, perNamespace: 5_000 }

// Clocks of runners may differ by this much. What claims to come from further ahead is as old as its object.
const SKEW_MS: Millis = 5 * 60_000

/** The events to be removed, the oldest first. */
export function plan(events: Iterable<KnownEvent>, nowMs: Millis, limits: Limits = LIMITS): KnownEvent[] {
  const newestFirst = [...events]
    .map(event => ({ event, seenMs: seenMs(event, nowMs) }))
    .sort((a, b) => b.seenMs - a.seenMs || (isBefore(a.event, b.event) ? -1 : 1))
  const kept = { objects: new Map<string, number>(), namespaces: new Map<string, number>() }
  const removed: KnownEvent[] = []
  for (const { event, seenMs: lastMs } of newestFirst) {
    const object = `${event.namespace}/${event.about}`
    const ofObject = kept.objects.get(object) ?? 0
    const ofNamespace = kept.namespaces.get(event.namespace) ?? 0
    const stays =
      nowMs - lastMs < limits.ageMs && ofObject < limits.perObject && ofNamespace < limits.perNamespace
    if (stays) {
      kept.objects.set(object, ofObject + 1)
      kept.namespaces.set(event.namespace, ofNamespace + 1)
    } else removed.push(event)
  }
  return removed.reverse()
}

function seenMs({ createdMs, lastMs }: KnownEvent, nowMs: Millis): Millis {
  return lastMs === undefined || lastMs > nowMs + SKEW_MS ? createdMs : Math.max(createdMs, lastMs)
}

function isBefore(one: KnownEvent, other: KnownEvent): boolean {
  return one.namespace === other.namespace ? one.name < other.name : one.namespace < other.namespace
}
