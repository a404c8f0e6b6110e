import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { eventually } from '../../test/support/eventually.ts'
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts'
import { findCondition } from '../api/conditions.ts'
import { environmentSpecSchema } from '../api/kinds/environment.ts'
import { type Draft, type Key, type Kind, keyOf, type Resource } from '../api/resource.ts'
import { runController } from '../core/controller.ts'
import type { Reconciler } from '../core/reconcile.ts'
import { type Clock, systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { runnerHealth, runnerReachability } from './runner-health/reconcile.ts'
import { scheduler } from './scheduler/reconcile.ts'

let db: TestDatabase
let stop: AbortController
let running: Promise<void>[]
let namespace: string
beforeAll(async () => {
  db = await testDatabase()
})
afterAll(() => db.close())
let count = 0
beforeEach(() => {
  stop = new AbortController()
  running = []
  namespace = `test-${++count}`
})
afterEach(async () => {
  stop.abort()
  await Promise.all(running)
})

function launch<K extends Kind>(reconciler: Reconciler<K>, clock: Clock = systemClock): void {
  running.push(runController(reconciler, { store: db.store, clock, log: silentLog, signal: stop.signal }))
}
const key = <K extends Kind>(kind: K, name: string): Key<K> => ({ kind, namespace, name })
const environment = (name: string, more: Partial<Draft<'Environment'>['metadata']> = {}, spec: object = {}) =>
  db.store.create({
    kind: 'Environment',
    metadata: { name, namespace, ...more },
    spec: environmentSpecSchema.parse(spec),
  })
const runner = (name: string) =>
  db.store.create({ kind: 'Runner', metadata: { name, namespace }, spec: { cordoned: false } })
const environmentClass = () =>
  db.store.create({
    kind: 'EnvironmentClass',
    metadata: { name: 'small', namespace },
    spec: { image: 'alpine', memory: '1Gi', disk: '1Gi', pids: 100 },
  })
const makeReady = (object: Resource<'Runner'>, status: 'True' | 'False' = 'True', reason = 'Heartbeat') =>
  db.store.update(
    {
      ...object,
      status: {
        conditions: [
          { type: 'Ready', status, reason, message: 'm', lastTransitionTime: '2030-01-01T00:00:00Z' },
        ],
      },
    },
    'status',
  )

/** Revisions of one kind after `from`, up to `last`. */
async function changesBetween(kind: Kind, from: string, last: Resource | undefined): Promise<string[]> {
  const changes: string[] = []
  const until = new AbortController()
  for await (const change of db.store.watch(kind, { namespace, from }, until.signal)) {
    changes.push(change.at)
    if (change.at === last?.metadata.resourceVersion) until.abort()
  }
  return changes
}

test('an environment says why it waits, is bound as soon as it can be, and keeps its runner', async () => {
  launch(scheduler())
  await environment('calm-otter')
  const reasonIs = (reason: string) => (found?: Resource<'Environment'>) =>
    findCondition(found?.status.conditions ?? [], 'Scheduled')?.reason === reason
  await eventually(db.store, key('Environment', 'calm-otter'), reasonIs('ClassNotFound'))
  await environmentClass()
  await eventually(db.store, key('Environment', 'calm-otter'), reasonIs('NoRunner'))
  const here = await runner('here')
  await eventually(db.store, key('Environment', 'calm-otter'), reasonIs('RunnerUnreachable'))
  await makeReady(here)
  const bound = await eventually(
    db.store,
    key('Environment', 'calm-otter'),
    found => found?.spec.runner === 'here',
  )
  expect(bound?.metadata.finalizers).toEqual(['bothy.dev/runner'])
})

test('many at once get no more room than there is; who waits is bound when another one stops', async () => {
  await environmentClass()
  const ready = await makeReady(await runner('here'))
  const capacity = { cores: 2, memory: '768Mi', memoryRatio: 1 }
  await db.store.update({ ...ready, status: { ...ready.status, capacity } }, 'status')
  // A quarter of 1 GiB each: three of them.
  const names = Array.from({ length: 12 }, (_, i) => `otter-${i}`)
  await Promise.all(names.map(name => environment(name)))
  launch(scheduler())
  const isSettled = (found?: Resource<'Environment'>) =>
    found?.spec.runner !== undefined ||
    findCondition(found?.status.conditions ?? [], 'Scheduled')?.reason === 'RunnerFull'
  const found = await Promise.all(
    names.map(name => eventually(db.store, key('Environment', name), isSettled)),
  )
  const bound = found.filter(each => each?.spec.runner === 'here')
  expect(bound).toHaveLength(3)
  const [waiting] = found.filter(each => each?.spec.runner === undefined)
  expect(findCondition(waiting?.status.conditions ?? [], 'Scheduled')?.message).toBe(
    'the runner is full: here: 0.8 of 0.8 GiB of memory are promised, 0.3 GiB more were asked for',
  )
  const [first] = bound as [Resource<'Environment'>]
  await db.store.update({ ...first, spec: { ...first.spec, desired: 'Stopped' } }, 'main')
  await expect
    .poll(
      async () => {
        const { items } = await db.store.list('Environment', { namespace })
        return items.filter(({ spec }) => spec.runner === 'here').length
      },
      { timeout: 15_000 },
    )
    .toBe(4)
}, 30_000)

test('where there is room, binding is one write', async () => {
  await environmentClass()
  await makeReady(await runner('here'))
  launch(scheduler())
  const created = await environment('calm-otter')
  const bound = await eventually(
    db.store,
    key('Environment', 'calm-otter'),
    found => found?.spec.runner !== undefined,
  )
  const changes = await changesBetween('Environment', created.metadata.resourceVersion, bound)
  expect(changes).toEqual([bound?.metadata.resourceVersion])
})

test('many at once are spread over the runners', async () => {
  await environmentClass()
  for (const name of ['a', 'b']) await makeReady(await runner(name))
  launch(scheduler())
  await Promise.all(Array.from({ length: 20 }, (_, i) => environment(`env-${i}`)))
  const bound = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      eventually(db.store, key('Environment', `env-${i}`), found => found?.spec.runner !== undefined),
    ),
  )
  const onA = bound.filter(each => each?.spec.runner === 'a').length
  expect(onA).toBeGreaterThan(4)
  expect(onA).toBeLessThan(16)
})

test('heartbeats write nothing; that they cease and come back is said on the runner and its environments', async () => {
  let offsetMs = 0
  const clock: Clock = {
    now: () => systemClock.now() + offsetMs,
    sleep: (_ms, signal) => systemClock.sleep(20, signal),
  }
  launch(runnerHealth({ leases: db.leases, clock }), clock)
  launch(runnerReachability(), clock)
  const here = await runner('here')
  await environmentClass()
  const env = await environment('calm-otter', {}, { runner: 'here' })
  const readyIs = (reason: string) => (found?: Resource<'Runner'>) =>
    findCondition(found?.status.conditions ?? [], 'Ready')?.reason === reason
  const reachable = (found?: Resource<'Environment'>) =>
    findCondition(found?.status.conditions ?? [], 'RunnerReachable')?.status

  await eventually(db.store, keyOf(here), readyIs('NeverSeen'))
  await eventually(db.store, keyOf(env), found => reachable(found) === 'False')
  await db.leases.renew(here.metadata.uid, clock.now())
  const heard = await eventually(db.store, keyOf(here), readyIs('Heartbeat'))
  await eventually(db.store, keyOf(env), found => reachable(found) === 'True')

  for (let i = 0; i < 5; i++) await db.leases.renew(here.metadata.uid, clock.now() + i)
  offsetMs += 31_000
  const lost = await eventually(db.store, keyOf(here), readyIs('Unreachable'))
  expect(lost?.status.conditions[0]?.message).toContain('30 s')
  const told = await eventually(db.store, keyOf(env), found => reachable(found) === 'False')
  const since = heard?.metadata.resourceVersion ?? '0'
  expect(await changesBetween('Runner', since, lost)).toEqual([lost?.metadata.resourceVersion])
  expect(told?.status.conditions.map(({ type }) => type)).toEqual(['RunnerReachable'])
})

test('an environment is released only when the Runner object itself is deleted', async () => {
  launch(runnerReachability())
  const here = await makeReady(await runner('here'), 'False', 'Unreachable')
  const env = await environment('calm-otter', { finalizers: ['bothy.dev/runner'] }, { runner: 'here' })
  await db.store.remove(keyOf(env))
  await eventually(
    db.store,
    keyOf(env),
    found => findCondition(found?.status.conditions ?? [], 'RunnerReachable')?.reason === 'RunnerUnreachable',
  )
  await db.store.remove(keyOf(here))
  expect(await eventually(db.store, keyOf(env), found => found === undefined)).toBeUndefined()
})
