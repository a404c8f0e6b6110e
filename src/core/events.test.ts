import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { storeWith } from '../../test/support/life-cycle.ts'
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts'
import { environmentSpecSchema } from '../api/kinds/environment.ts'
import { eventSpecSchema } from '../api/kinds/event.ts'
import { keyOf, type Resource } from '../api/resource.ts'
import { Fault } from '../lib/fault.ts'
import { silentLog } from '../lib/log.ts'
import { createManualClock, type ManualClock } from '../lib/manual-clock.ts'
import { createEvents, type Events } from './events.ts'
import type { Store } from './store.ts'

let db: TestDatabase
let clock: ManualClock
let events: Events
let subject: Resource<'Environment'>
let namespace: string
let count = 0
beforeAll(async () => {
  db = await testDatabase()
})
afterAll(() => db.close())
beforeEach(async () => {
  clock = createManualClock()
  namespace = `test-${++count}`
  events = open(db.store)
  const metadata = { name: 'calm-otter', namespace }
  subject = await db.store.create({ kind: 'Environment', metadata, spec: environmentSpecSchema.parse({}) })
})

const open = (store: Store) => createEvents({ store, clock, log: silentLog, instance: 'here' })
const started = (note = 'it runs') =>
  ({ regarding: subject, type: 'Normal', reason: 'Started', note }) as const
const stored = async () => (await db.store.list('Event', { namespace })).items
const PATIENCE_MS = 1_000
/** Everything that waits has been tried. */
const settled = () => events.settle(subject, PATIENCE_MS)

test('an event says what, to whom, by whom and when, and can be read by everybody', async () => {
  const related = await db.store.create({
    kind: 'Runner',
    metadata: { name: 'here', namespace },
    spec: { cordoned: false },
  })
  events.recorder('scheduler').record({ ...started('bound'), related, action: 'Binding' })
  await settled()
  const [event] = await stored()
  expect(event?.metadata.name).toMatch(/^calm-otter\.[0-9a-f]{16}$/)
  const apiVersion = 'bothy.dev/v1alpha1'
  expect(event?.spec).toEqual({
    regarding: { apiVersion, kind: 'Environment', namespace, name: 'calm-otter', uid: subject.metadata.uid },
    related: { apiVersion, kind: 'Runner', namespace, name: 'here', uid: related.metadata.uid },
    type: 'Normal',
    reason: 'Started',
    note: 'bound',
    action: 'Binding',
    reportingController: 'scheduler',
    reportingInstance: 'here',
    eventTime: '2030-01-01T00:00:00.000000Z',
    firstTimestamp: '2030-01-01T00:00:00.000000Z',
    lastTimestamp: '2030-01-01T00:00:00.000000Z',
    count: 1,
  })
  expect(eventSpecSchema.parse(event?.spec)).toEqual(event?.spec)
})

test('the worker writes after a while, by itself, and what was repeated meanwhile is one write', async () => {
  const recorder = events.recorder('runner')
  const { at } = await db.store.list('Event', { namespace })
  for (let n = 0; n < 5; n++) recorder.record(started())
  recorder.record({ ...started('stopped'), reason: 'Stopped' })
  expect(await stored()).toEqual([])
  await clock.advance(300)
  const seen: string[] = []
  const stop = new AbortController()
  for await (const { object } of db.store.watch('Event', { namespace, from: at }, stop.signal)) {
    seen.push(`${object.spec.reason} x${object.spec.count}`)
    if (object.spec.reason === 'Stopped') stop.abort()
  }
  expect(seen).toEqual(['Started x5', 'Stopped x1'])
})

test('what happens again is counted on in the same event, also when that is gone by then', async () => {
  const recorder = events.recorder('runner')
  recorder.record(started())
  await settled()
  await clock.advance(1_000)
  recorder.record(started())
  await settled()
  const [twice, ...others] = await stored()
  expect(others).toEqual([])
  expect(twice?.spec).toMatchObject({
    count: 2,
    firstTimestamp: '2030-01-01T00:00:00.000000Z',
    lastTimestamp: '2030-01-01T00:00:01.000000Z',
  })
  await db.store.remove(keyOf(twice as Resource<'Event'>))
  recorder.record(started())
  await settled()
  expect((await stored()).map(({ metadata, spec }) => [metadata.name, spec.count])).toEqual([
    [twice?.metadata.name, 3],
  ])
})

test('reporters are told apart, and so are objects of one name', async () => {
  events.recorder('runner').record(started())
  events.recorder('scheduler').record(started())
  await settled()
  await db.store.remove(keyOf(subject))
  const { name } = subject.metadata
  subject = await db.store.create({
    kind: 'Environment',
    metadata: { name, namespace },
    spec: environmentSpecSchema.parse({}),
  })
  events.recorder('runner').record(started())
  await settled()
  expect((await stored()).map(({ spec }) => spec.count)).toEqual([1, 1, 1])
})

test('a store that is away is waited for, in order and without doubling; a refusal is not tried again', async () => {
  let refuse: (() => Promise<void>) | undefined = async () => {
    throw new Fault('unavailable', 'away', 'the server is away')
  }
  let tries = 0
  const attempted = Promise.withResolvers<void>()
  events = open(
    storeWith(() => db.store, {
      create: async draft => {
        tries += 1
        try {
          await refuse?.()
        } finally {
          attempted.resolve()
        }
        return db.store.create(draft)
      },
    }),
  )
  const recorder = events.recorder('runner')
  recorder.record(started('one'))
  recorder.record(started('two'))
  await clock.advance(300)
  await attempted.promise
  recorder.record(started('one'))
  refuse = undefined
  await clock.advance(30_000)
  await settled()
  expect((await stored()).map(({ spec }) => `${spec.note} x${spec.count}`).sort()).toEqual([
    'one x2',
    'two x1',
  ])

  const before = tries
  refuse = async () => {
    throw new Fault('forbidden', 'denied', 'no')
  }
  recorder.record(started('three'))
  await settled()
  refuse = undefined
  await clock.advance(60_000)
  expect(tries).toBe(before + 1)
  expect(await stored()).toHaveLength(2)
})

test('a write that got through without an answer does not become a second event', async () => {
  let answers = false
  events = open(
    storeWith(() => db.store, {
      create: async draft => {
        const written = await db.store.create(draft)
        if (answers) return written
        answers = true
        throw new Fault('unavailable', 'connection-lost', 'the answer never came')
      },
    }),
  )
  events.recorder('runner').record(started())
  const { at } = await db.store.list('Event', { namespace })
  await clock.advance(300)
  for await (const { object } of db.store.watch(
    'Event',
    { namespace, from: at },
    new AbortController().signal,
  )) {
    expect(object.spec.count).toBe(1)
    break
  }
  await clock.advance(30_000)
  await settled()
  expect(await stored()).toHaveLength(1)
})

test('closing writes what waits, waits no longer than it may, and takes nothing more', async () => {
  const recorder = events.recorder('runner')
  recorder.record(started())
  await events.close(PATIENCE_MS)
  recorder.record(started('late'))
  await clock.advance(60_000)
  expect((await stored()).map(({ spec }) => spec.note)).toEqual(['it runs'])
  expect(clock.sleepers).toBe(0)

  const hanging = open(storeWith(() => db.store, { create: () => new Promise(() => undefined) }))
  hanging.recorder('runner').record(started())
  const closing = hanging.close(PATIENCE_MS)
  await clock.advance(PATIENCE_MS)
  await closing
})

test('a recorder never throws, whatever it is given', async () => {
  const broken = { ...started(), regarding: {} as Resource }
  expect(() => events.recorder('runner').record(broken)).not.toThrow()
})
