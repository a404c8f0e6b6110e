import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { eventually } from '../../../test/support/eventually.ts'
import { type TestDatabase, testDatabase } from '../../../test/support/postgres.ts'
import { findCondition } from '../../api/conditions.ts'
import { environmentSpecSchema } from '../../api/kinds/environment.ts'
import { eventSpecSchema } from '../../api/kinds/event.ts'
import { type Kind, keyOf, type Resource } from '../../api/resource.ts'
import { runController } from '../../core/controller.ts'
import { systemClock } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import { CONTENT_KINDS } from './plan.ts'
import { organizations } from './reconcile.ts'

let db: TestDatabase
beforeAll(async () => {
  db = await testDatabase()
})
afterAll(() => db.close())

const defaultClass = { name: 'small', spec: { image: 'alpine:3', memory: '1Gi', disk: '1Gi', pids: 100 } }
let stop: AbortController
let running: Promise<void>
beforeEach(() => {
  stop = new AbortController()
  const options = { store: db.store, clock: systemClock, log: silentLog, signal: stop.signal }
  running = runController(organizations({ defaultClass }), options)
})
afterEach(async () => {
  stop.abort()
  await running
})

const make = (name: string) => db.store.create({ kind: 'Organization', metadata: { name }, spec: {} })
const prepared = (organization: Resource<'Organization'>) =>
  eventually(
    db.store,
    keyOf(organization),
    found => findCondition(found?.status.conditions ?? [], 'Prepared')?.status === 'True',
  )
const classesOf = async (namespace: string) =>
  (await db.store.list('EnvironmentClass', { namespace })).items.map(({ metadata }) => metadata.name)

test('a new organization gets a class, once, and only if it has none', async () => {
  const fresh = await make('fresh')
  await prepared(fresh)
  expect(await classesOf('fresh')).toEqual(['small'])
  await db.store.remove({ kind: 'EnvironmentClass', namespace: 'fresh', name: 'small' })

  const metadata = { name: 'large', namespace: 'equipped' }
  await db.store.create({ kind: 'EnvironmentClass', metadata, spec: defaultClass.spec })
  await prepared(await make('equipped'))
  expect(await classesOf('equipped')).toEqual(['large'])

  // Looked at again, and left as the administrator wants it.
  const labelled = (await db.store.find(keyOf(fresh)))!
  await db.store.update({ ...labelled, metadata: { ...labelled.metadata, labels: { a: 'b' } } }, 'main')
  await prepared(await make('later'))
  expect(await classesOf('fresh')).toEqual([])
})

test('an organization goes after everything in it, says what it waits for, and leaves others alone', async () => {
  const [team, other] = [await make('team'), await make('other')]
  await Promise.all([prepared(team), prepared(other)])
  const environment = (namespace: string, name: string, finalizers: string[] = []) =>
    db.store.create({
      kind: 'Environment',
      metadata: { name, namespace, finalizers },
      spec: environmentSpecSchema.parse({}),
    })
  const held = await environment('team', 'held', ['bothy.dev/runner'])
  const free = await environment('team', 'free')
  const stranger = await environment('other', 'stranger')
  const runner = await db.store.create({
    kind: 'Runner',
    metadata: { name: 'here', namespace: 'team' },
    spec: { cordoned: false },
  })
  await db.store.create({
    kind: 'Event',
    metadata: { name: 'told', namespace: 'team' },
    spec: eventSpecSchema.parse({ regarding: { kind: 'Environment', name: 'held' } }),
  })

  const deleting = await db.store.remove(keyOf(team))
  expect(deleting.metadata.finalizers).toEqual(['bothy.dev/contents'])
  await eventually(db.store, keyOf(free), found => found === undefined)
  const waiting = await eventually(
    db.store,
    keyOf(held),
    found => found?.metadata.deletionTimestamp !== undefined,
  )
  const holding = (found?: Resource<'Organization'>) =>
    findCondition(found?.status.conditions ?? [], 'FinalizersRemaining')
  const told = await eventually(db.store, keyOf(team), found => holding(found)?.status === 'True')
  expect(told?.status.phase).toBe('Terminating')
  expect(holding(told)?.message).toContain('bothy.dev/runner in 1 resource instance')
  // What the environment needs to go is not taken from it.
  expect(await db.store.find(keyOf(runner))).toEqual(runner)

  await db.store.update({ ...waiting!, metadata: { ...waiting!.metadata, finalizers: [] } }, 'main')
  await eventually(db.store, keyOf(team), found => found === undefined)
  for (const kind of CONTENT_KINDS) expect(await listed(kind, 'team')).toEqual([])
  expect(await db.store.find(keyOf(stranger))).toEqual(stranger)
  expect((await db.store.find(keyOf(other)))?.metadata.deletionTimestamp).toBeUndefined()
})

const listed = async (kind: Kind, namespace: string) => (await db.store.list(kind, { namespace })).items
