import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NOTE_BYTES, noteBytes } from '../event-note.ts'
import { event, eventSpecSchema } from './event.ts'
import { coreEventWire, eventWire } from './event-wire.ts'

const about = { apiVersion: 'v1', kind: 'Pod', namespace: 'team-a', name: 'web', uid: 'u1' }

// As client-go's recorder (tools/record) sends it, absent times and all.
const FROM_CORE_RECORDER = {
  involvedObject: { ...about, fieldPath: 'spec.containers{app}' },
  reason: 'BackOff',
  message: 'Back-off restarting failed container',
  source: { component: 'kubelet', host: 'node-1' },
  firstTimestamp: '2030-01-01T00:00:00Z',
  lastTimestamp: '2030-01-01T00:00:00Z',
  count: 1,
  type: 'Warning',
  eventTime: null,
  reportingComponent: '',
  reportingInstance: '',
}

// As client-go's newer recorder (tools/events) sends it.
const FROM_EVENTS_RECORDER = {
  eventTime: '2030-01-01T00:00:00.123456Z',
  reportingController: 'example.com/operator',
  reportingInstance: 'operator-0',
  action: 'Binding',
  reason: 'Scheduled',
  regarding: about,
  note: 'assigned team-a/web to node-1',
  type: 'Normal',
  deprecatedSource: {},
  deprecatedFirstTimestamp: null,
  deprecatedLastTimestamp: null,
}

const parse = (stored: { spec: unknown }) => eventSpecSchema.parse(stored.spec)
const stored = (wire: typeof eventWire, fields: object) => ({
  spec: parse(wire.toStored(fields as Record<string, unknown>)),
  status: {},
})

test('an event of the older recorder is kept whole, and counted on as that recorder does', () => {
  const first = stored(coreEventWire, FROM_CORE_RECORDER)
  expect(first.spec).toMatchObject({
    regarding: { name: 'web', fieldPath: 'spec.containers{app}' },
    note: 'Back-off restarting failed container',
    reportingController: 'kubelet',
    reportingInstance: 'node-1',
    count: 1,
  })
  const shown = coreEventWire.toWire(first)
  expect(shown).toMatchObject({ source: { component: 'kubelet', host: 'node-1' }, eventTime: null })
  const patched = { ...shown, count: 7, lastTimestamp: '2030-01-01T00:05:00Z' }
  expect(coreEventWire.toWire(stored(coreEventWire, patched))).toMatchObject({
    firstTimestamp: '2030-01-01T00:00:00Z',
    lastTimestamp: '2030-01-01T00:05:00Z',
    count: 7,
  })
})

test('an event of the newer recorder has the times that kubectl shows, and goes on as a series', () => {
  const first = stored(eventWire, FROM_EVENTS_RECORDER)
  const seen = '2030-01-01T00:00:00.123456Z'
  expect(coreEventWire.toWire(first)).toMatchObject({
    eventTime: seen,
    firstTimestamp: seen,
    lastTimestamp: seen,
    count: 1,
    source: { component: 'example.com/operator', host: 'operator-0' },
  })
  expect(eventWire.toWire(first)).not.toHaveProperty('series')
  const series = { count: 2, lastObservedTime: '2030-01-01T00:06:00.5Z' }
  const next = stored(eventWire, { ...eventWire.toWire(first), series })
  expect(eventWire.toWire(next)).toMatchObject({
    series: { count: 2, lastObservedTime: '2030-01-01T00:06:00.500000Z' },
    deprecatedCount: 2,
  })
  expect(coreEventWire.toWire(next)).toMatchObject({ count: 2, lastTimestamp: series.lastObservedTime })
})

test('the older form takes notes of any length, the newer one refuses what Kubernetes refuses', () => {
  const long = 'é'.repeat(NOTE_BYTES)
  const { spec } = stored(coreEventWire, { ...FROM_CORE_RECORDER, message: long })
  expect(noteBytes(spec.note)).toBeLessThanOrEqual(NOTE_BYTES)
  expect(() => stored(eventWire, { ...FROM_EVENTS_RECORDER, note: long })).toThrow('at most 1024 bytes')
})

test.each([
  ['the namespace of what it is about is its own', 'team-a', {}, []],
  ['or there is none, for what belongs to the whole cluster', 'default', { regarding: { kind: 'Node' } }, []],
  ['another one', 'team-b', {}, ['involvedObject.namespace']],
  [
    'none, and not where such events are kept',
    'team-b',
    { regarding: { kind: 'Node' } },
    ['involvedObject.namespace'],
  ],
  [
    'with an eventTime, the reporter and what it did are named',
    'team-a',
    { eventTime: '2030-01-01T00:00:00.000000Z' },
    ['reportingController', 'reportingInstance', 'action', 'reason'],
  ],
] as const)('%s', (_what, namespace, more, expected) => {
  const spec = eventSpecSchema.parse({ regarding: about, ...more })
  expect(event.check?.(namespace, spec).map(({ field }) => field)).toEqual(expected)
})

const time = fc
  .date({ min: new Date('2000-01-01'), max: new Date('2100-01-01'), noInvalidDate: true })
  .map(date => date.toISOString().replace('Z', '000Z'))
const anyEvent = fc
  .record({
    regarding: fc.record({ kind: fc.constantFrom('Environment', 'Runner'), name: fc.constantFrom('a', '') }),
    type: fc.constantFrom('Normal', 'Warning'),
    reason: fc.constantFrom('', 'Started'),
    note: fc.string({ maxLength: 40 }),
    reportingController: fc.constantFrom('', 'runner'),
    reportingInstance: fc.constantFrom('', 'here'),
    times: fc.tuple(time, time, fc.boolean()),
    count: fc.integer({ min: 1, max: 1_000 }),
  })
  .map(({ times: [one, other, isNew], ...rest }) => {
    const [firstTimestamp, lastTimestamp] = [one, other].sort()
    const eventTime = isNew ? { eventTime: firstTimestamp } : {}
    return eventSpecSchema.parse({ ...rest, ...eventTime, firstTimestamp, lastTimestamp })
  })

test('both forms say all that is stored: reading and writing back changes nothing', () => {
  fc.assert(
    fc.property(anyEvent, spec => {
      for (const wire of [eventWire, coreEventWire])
        expect(stored(wire, wire.toWire({ spec, status: {} })).spec).toEqual(spec)
    }),
  )
})
