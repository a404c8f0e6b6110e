import type { Resource } from '../../api/resource.ts'
import type { Store } from '../../core/store.ts'
import type { Millis } from '../../lib/clock.ts'

/** Something that happened to the object, as often as `count`, the last time `ageMs` ago. */
export interface ExplainedEvent {
  readonly ageMs: Millis
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly message: string
  readonly count: number
}

// What explains the state of now is recent; `bothy get events` has all of it.
const SHOWN = 10

// Where events about what has no namespace are kept, by Kubernetes' convention.
const CLUSTER_EVENTS = 'default'

/** The events about that object and no earlier one of its name. */
export async function eventsAbout(store: Store, { metadata }: Resource): Promise<Resource<'Event'>[]> {
  const { items } = await store.list('Event', {
    namespace: metadata.namespace ?? CLUSTER_EVENTS,
    fields: { 'regarding.uid': metadata.uid },
  })
  return [...items]
}

/** The latest of them, oldest first: read as a story. */
export function explainEvents(events: readonly Resource<'Event'>[], now: Millis): ExplainedEvent[] {
  return events
    .map(event => ({ event, at: lastSeen(event) }))
    .toSorted((a, b) => a.at - b.at)
    .slice(-SHOWN)
    .map(({ event: { spec }, at }) => {
      const { type, reason, note, count } = spec
      return { ageMs: now - at, type, reason, message: note, count }
    })
}

/** When it happened last. Whoever wrote the event may have said so in any of three ways, or not at all. */
export function lastSeen({ spec, metadata }: Resource<'Event'>): Millis {
  return Date.parse(spec.lastTimestamp ?? spec.eventTime ?? metadata.creationTimestamp)
}
