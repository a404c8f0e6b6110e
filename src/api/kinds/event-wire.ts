// An event on the wire: no spec, its fields stand beside the metadata. Without the schemas, so that the command line
// can use it too.
import type { WireForm } from './kind.ts'

type Fields = Readonly<Record<string, unknown>>

/** As `events.k8s.io/v1` has it. */
export const eventWire: WireForm = {
  toWire({ spec }) {
    const { firstTimestamp, lastTimestamp, count, reportingController, eventTime, ...rest } = spec as Fields
    return withoutAbsent({
      ...rest,
      eventTime: eventTime ?? null,
      reportingController,
      deprecatedFirstTimestamp: firstTimestamp,
      deprecatedLastTimestamp: lastTimestamp,
      deprecatedCount: count,
      deprecatedSource: { component: reportingController },
    })
  },
  toStored(fields) {
    const {
      deprecatedFirstTimestamp: firstTimestamp,
      deprecatedLastTimestamp: last,
      deprecatedCount,
      deprecatedSource,
      series,
      ...rest
    } = fields
    const { count, lastObservedTime } = asFields(series)
    const source = asFields(deprecatedSource)
    return {
      spec: withoutAbsent({
        ...rest,
        firstTimestamp,
        lastTimestamp: lastObservedTime ?? last,
        count: count ?? (deprecatedCount === 0 ? undefined : deprecatedCount),
        reportingController: rest['reportingController'] ?? source['component'],
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
      source: { component: reportingController },
      reportingComponent: reportingController,
    })
  },
  toStored(fields) {
    const { involvedObject, message, source, reportingComponent, series, ...rest } = fields
    const { count, lastObservedTime } = asFields(series)
    const reporter = reportingComponent === '' ? undefined : reportingComponent
    return {
      spec: withoutAbsent({
        ...rest,
        regarding: involvedObject,
        note: message,
        reportingController: reporter ?? asFields(source)['component'],
        count: count ?? (rest['count'] === 0 ? undefined : rest['count']),
        lastTimestamp: lastObservedTime ?? rest['lastTimestamp'],
      }),
      status: {},
    }
  },
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
