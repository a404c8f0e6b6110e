// An event on the wire: no spec, its fields stand beside the metadata. Without the schemas, so that the command line
// can use it too.
//
// Clients come with two generations of times: `firstTimestamp`, `lastTimestamp` and `count`, or `eventTime` and `series`.
// Both are kept as the first kind, which is what kubectl shows, and each client finds its own.
import { cutNote } from '../event-note.ts'
import type { WireForm } from './kind.ts'

type Fields = Readonly<Record<string, unknown>>

/** As `events.k8s.io/v1` has it. */
export const eventWire: WireForm = {
  toWire({ spec }) {
    const { firstTimestamp, lastTimestamp, count, eventTime, ...rest } = spec as Fields
    const goesOn = eventTime !== undefined && Number(count) > 1
    return withoutAbsent({
      ...rest,
      eventTime: eventTime ?? null,
      series: goesOn ? { count, lastObservedTime: microTime(lastTimestamp) } : undefined,
      deprecatedFirstTimestamp: firstTimestamp,
      deprecatedLastTimestamp: lastTimestamp,
      deprecatedCount: count,
      deprecatedSource: sourceOf(rest),
    })
  },
  toStored(fields) {
    const {
      deprecatedFirstTimestamp: firstTimestamp,
      deprecatedLastTimestamp: lastTimestamp,
      deprecatedCount: count,
      deprecatedSource,
      series,
      eventTime,
      ...rest
    } = fields
    const times = timesFrom({ firstTimestamp, lastTimestamp, count, series, eventTime })
    return {
      spec: withoutAbsent({
        ...rest,
        ...reporterFrom(rest, rest['reportingController'], deprecatedSource),
        ...times,
      }),
      status: {},
    }
  },
}

/** As the core group's `v1` has it: older, and what `kubectl get events` asks for. */
export const coreEventWire: WireForm = {
  toWire({ spec }) {
    const { regarding, note, reportingController, eventTime, ...rest } = spec as Fields
    return withoutAbsent({
      ...rest,
      involvedObject: regarding,
      message: note,
      eventTime: eventTime ?? null,
      source: sourceOf({ ...rest, reportingController }),
      reportingComponent: reportingController,
    })
  },
  toStored(fields) {
    const { involvedObject, message, source, reportingComponent, series, eventTime, ...more } = fields
    const { firstTimestamp, lastTimestamp, count, ...rest } = more
    return {
      spec: withoutAbsent({
        ...rest,
        ...reporterFrom(rest, reportingComponent, source),
        ...timesFrom({ firstTimestamp, lastTimestamp, count, series, eventTime }),
        regarding: involvedObject,
        // This form has no limit; its writers do not expect to be refused.
        note: typeof message === 'string' ? cutNote(message) : message,
      }),
      status: {},
    }
  },
}

function sourceOf({ reportingController, reportingInstance }: Fields): Fields {
  return withoutAbsent({
    component: reportingController || undefined,
    host: reportingInstance || undefined,
  })
}

/** Older writers name themselves in `source` only. */
function reporterFrom({ reportingInstance }: Fields, controller: unknown, source: unknown): Fields {
  const { component, host } = asFields(source)
  return {
    reportingController: controller || component,
    reportingInstance: reportingInstance || host,
  }
}

interface Times {
  readonly firstTimestamp: unknown
  readonly lastTimestamp: unknown
  readonly count: unknown
  readonly eventTime: unknown
  readonly series: unknown
}

/** Whichever of the two generations a client goes on with, the other follows. */
function timesFrom({ firstTimestamp, lastTimestamp, count, eventTime, series }: Times): Fields {
  const { count: counted, lastObservedTime } = asFields(series)
  const first = firstTimestamp ?? eventTime ?? undefined
  return {
    eventTime: microTime(eventTime ?? undefined),
    firstTimestamp: first,
    lastTimestamp: laterOf(lastTimestamp ?? first, lastObservedTime),
    // Some write 0 for none; what is no number is left for the schema to refuse.
    count: largerOf(count || undefined, counted || undefined),
  }
}

function laterOf(one: unknown, other: unknown): unknown {
  if (typeof one !== 'string' || typeof other !== 'string') return other ?? one
  return Date.parse(other) >= Date.parse(one) ? other : one
}

function largerOf(one: unknown, other: unknown): unknown {
  return typeof one === 'number' && typeof other === 'number' ? Math.max(one, other) : (other ?? one)
}

const SECONDS = /^(.*T\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$/

/** Go's clients read these with six digits and no other number of them. */
function microTime(time: unknown): unknown {
  if (typeof time !== 'string') return time
  return time.replace(
    SECONDS,
    (_, seconds: string, fraction = '', zone: string) =>
      `${seconds}.${String(fraction).padEnd(6, '0').slice(0, 6)}${zone}`,
  )
}

function asFields(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {}
}

/** Go programs write absent times as null. */
function withoutAbsent(fields: Fields): Fields {
  return Object.fromEntries(
    Object.entries(fields).filter(
      ([name, value]) => value !== undefined && (value !== null || name === 'eventTime'),
    ),
  )
}
