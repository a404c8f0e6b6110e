// What controllers tell besides status: once, when there is something to tell.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../../test/support/eventually.ts'
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts'
import { findCondition } from '../api/conditions.ts'
import { environmentSpecSchema } from '../api/kinds/environment.ts'
import { type Key, keyOf, type Resource } from '../api/resource.ts'
import { runController } from '../core/controller.ts'
import { createEvents } from '../core/events.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { createManualClock } from '../lib/manual-clock.ts'
import { runnerHealth, runnerReachability } from './runner-health/reconcile.ts'
import { scheduler } from './scheduler/reconcile.ts'

let db: TestDatabase
beforeAll(async () => {
  db = await testDatabase()
})
afterAll(() => db.close())

const metadata = (namespace: string, name: string) => ({ namespace, name })
const spec = environmentSpecSchema.parse({})
const createRunner = (namespace: string) =>
  db.store.create({ kind: 'Runner', metadata: metadata(namespace, 'here'), spec: { cordoned: false } })
const createClass = (namespace: string) =>
  db.store.create({
    kind: 'EnvironmentClass',
    metadata: metadata(namespace, 'small'),
    spec: { image: 'alpine', memory: '1Gi', disk: '1Gi', pids: 100 },
  })
const createEnvironment = (namespace: string, more: object = {}) =>
  db.store.create({
    kind: 'Environment',
    metadata: metadata(namespace, 'otter'),
    spec: { ...spec, ...more },
  })

const say = (runner: Resource<'Runner'>, status: 'True' | 'False', reason: string) => {
  const ready = { type: 'Ready', status, reason, message: reason, lastTransitionTime: '2030-01-01T00:00:00Z' }
  return db.store.update({ ...runner, status: { ...runner.status, conditions: [ready] } }, 'status')
}
const until = <K extends 'Environment' | 'Runner'>(key: Key<K>, type: string, reason: string) =>
  eventually(db.store, key, found => findCondition(found?.status.conditions ?? [], type)?.reason === reason)
/** What is stored about an object, in the order of telling. */
const told = async (about: Resource) => {
  const { items } = await db.store.list('Event', { fields: { 'spec.regarding.uid': about.metadata.uid } })
  return items
    .toSorted((a, b) => String(a.spec.firstTimestamp).localeCompare(String(b.spec.firstTimestamp)))
    .map(each => `${each.spec.type} ${each.spec.reason} x${each.spec.count}`)
}

test('the scheduler tells why an environment waits, each reason once, and where it goes', async () => {
  const namespace = 'scheduling'
  const stop = new AbortController()
  const options = { store: db.store, clock: systemClock, log: silentLog }
  const events = createEvents({ ...options, instance: 'test' })
  const reconciler = scheduler({ events: events.recorder('scheduler') })
  const running = runController(reconciler, { ...options, signal: stop.signal })
  const environment = await createEnvironment(namespace)
  const key = keyOf<'Environment'>(environment)
  await until(key, 'Scheduled', 'ClassNotFound')
  await createClass(namespace)
  await until(key, 'Scheduled', 'NoRunner')
  let runner = await createRunner(namespace)
  await until(key, 'Scheduled', 'RunnerUnreachable')
  // Looked at again for every change of the runner, with the same result.
  for (const reason of ['Unreachable', 'NeverSeen', 'Unreachable'])
    runner = await say(runner, 'False', reason)
  await say(runner, 'True', 'Heartbeat')
  await eventually(db.store, key, found => found?.spec.runner === 'here')
  stop.abort()
  await running
  await events.close(1_000)
  expect(await told(environment)).toEqual([
    'Warning FailedScheduling x1',
    'Warning FailedScheduling x1',
    'Warning FailedScheduling x1',
    'Normal Scheduled x1',
  ])
})

test('that a runner is lost and comes back is told of it and of its environments, once each time', async () => {
  const namespace = 'health'
  const clock = createManualClock(systemClock.now())
  const stop = new AbortController()
  const events = createEvents({ store: db.store, clock, log: silentLog, instance: 'test' })
  const health = events.recorder('runner-health')
  const runner = await createRunner(namespace)
  const environment = await createEnvironment(namespace, { runner: 'here' })
  await db.leases.renew(runner.metadata.uid, clock.now())
  const options = { store: db.store, clock, log: silentLog, signal: stop.signal }
  const running = Promise.all([
    runController(runnerHealth({ leases: db.leases, clock, events: health }), options),
    runController(runnerReachability({ events: health }), options),
  ])
  const [ofRunner, ofEnvironment] = [keyOf<'Runner'>(runner), keyOf<'Environment'>(environment)]
  await until(ofRunner, 'Ready', 'Heartbeat')
  const isUnreachable = (found: Resource<'Runner'> | undefined) =>
    findCondition(found?.status.conditions ?? [], 'Ready')?.reason === 'Unreachable'
  while (!isUnreachable(await db.store.find(ofRunner))) await clock.advance(1_000)
  await until(ofEnvironment, 'RunnerReachable', 'RunnerUnreachable')
  for (let n = 0; n < 10; n++) await clock.advance(1_000)
  while (isUnreachable(await db.store.find(ofRunner))) {
    await db.leases.renew(runner.metadata.uid, clock.now())
    await clock.advance(1_000)
  }
  await until(ofEnvironment, 'RunnerReachable', 'Heartbeat')
  stop.abort()
  await running
  await events.close(1_000)
  expect(await told(runner)).toEqual(['Normal RunnerReachable x2', 'Warning RunnerNotReachable x1'])
  expect(await told(environment)).toEqual(['Warning RunnerNotReachable x1', 'Normal RunnerReachable x1'])
})
