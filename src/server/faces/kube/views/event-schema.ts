// The fields of events on the wire, for OpenAPI. They are checked after translation, by the kind's own schema.
type Schema = Readonly<Record<string, unknown>>

const text = (description: string): Schema => ({ type: 'string', description })
const time = (description: string): Schema => ({ type: 'string', format: 'date-time', description })
const count = (description: string): Schema => ({ type: 'integer', format: 'int32', description })

const reference = (description: string): Schema => ({
  type: 'object',
  description,
  'x-kubernetes-map-type': 'atomic',
  properties: {
    apiVersion: text('Its apiVersion.'),
    kind: text('Its kind.'),
    namespace: text('Its namespace.'),
    name: text('Its name.'),
    uid: text('Its uid.'),
    resourceVersion: text('Its resourceVersion, when that matters.'),
    fieldPath: text('A part of it.'),
  },
})

const source: Schema = {
  type: 'object',
  description: 'Who saw it.',
  properties: { component: text('The component.'), host: text('Its host.') },
}

const series: Schema = {
  type: 'object',
  description: 'How it went on, when it happened several times.',
  properties: { count: count('How often.'), lastObservedTime: time('When last.') },
}

const shared: Readonly<Record<string, Schema>> = {
  type: text('Normal or Warning.'),
  reason: text('Why, as one word for programs.'),
  action: text('What was being done.'),
  eventTime: time('When it was first seen.'),
  reportingInstance: text('Which one of the reporting components.'),
  related: reference('A second object that it concerns.'),
  series,
}

/** `events.k8s.io/v1`. */
export const EVENT_SCHEMA: Readonly<Record<string, Schema>> = {
  ...shared,
  regarding: reference('What it is about.'),
  note: text('What happened, for people.'),
  reportingController: text('Which component saw it.'),
  deprecatedFirstTimestamp: time('When it first happened.'),
  deprecatedLastTimestamp: time('When it last happened.'),
  deprecatedCount: count('How often it has happened.'),
  deprecatedSource: source,
}

/** `v1` of the core group. */
export const CORE_EVENT_SCHEMA: Readonly<Record<string, Schema>> = {
  ...shared,
  involvedObject: reference('What it is about.'),
  message: text('What happened, for people.'),
  source,
  reportingComponent: text('Which component saw it.'),
  firstTimestamp: time('When it first happened.'),
  lastTimestamp: time('When it last happened.'),
  count: count('How often it has happened.'),
}
