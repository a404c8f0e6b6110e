import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { eventually } from '../../../test/support/eventually.ts'
import { type TestDatabase, testDatabase } from '../../../test/support/postgres.ts'
import { environmentSpecSchema } from '../../api/kinds/environment.ts'
import { type Key, type Kind, keyOf, type OwnerReference, type Resource } from '../../api/resource.ts'
import { systemClock } from '../../lib/clock.ts'
import { randomSuffix } from '../../lib/ids.ts'
import { silentLog } from '../../lib/log.ts'
import { runGarbageCollector } from './run-garbage-collector.ts'

let db: TestDatabase
beforeAll(async () => {
  db = await testDatabase()
})
afterAll(() => db.close())

let namespace: string
let stop: AbortController
let running: Promise<void> | undefined
beforeEach(() => {
  namespace = `test-${randomSuffix(6)}`
  stop = new AbortController()
})
afterEach(async () => {
  stop.abort()
  await running
})
const launch = () => {
  const options = { store: db.store, clock: systemClock, log: silentLog, signal: stop.signal }
  running = runGarbageCollector(options)
}

const reference = (owner: Resource, more: Partial<OwnerReference> = {}): OwnerReference => ({
  apiVersion: owner.apiVersion,
  kind: owner.kind,
  name: owner.metadata.name,
  uid: owner.metadata.uid,
  ...more,
})
const blocking = (owner: Resource) => reference(owner, { blockOwnerDeletion: true })
const environment = (
  name: string,
  ownerReferences: OwnerReference[] = [],
  more: { finalizers?: string[]; namespace?: string } = {},
) =>
  db.store.create({
    kind: 'Environment',
    metadata: { name, namespace, ownerReferences, ...more },
    spec: environmentSpecSchema.parse({}),
  })
const runner = (name: string) =>
  db.store.create({ kind: 'Runner', metadata: { name, namespace }, spec: { cordoned: false } })
const gone = <K extends Kind>(object: Resource<K>) =>
  eventually(db.store, keyOf(object) as Key<K>, found => found === undefined)
const until = (object: Resource, isRight: (metadata: Resource['metadata']) => boolean) =>
  eventually(db.store, keyOf(object), found => found !== undefined && isRight(found.metadata))
const isLeft = async (object: Resource) => {
  const found = await db.store.find(keyOf(object))
  return found !== undefined && found.metadata.deletionTimestamp === undefined
}

test('what is owned goes with its last owner, and an owner is its uid, not its name', async () => {
  launch()
  const [one, other] = [await runner('one'), await runner('other')]
  const both = await environment('both', [reference(one), reference(other)])
  const parent = await environment('parent', [reference(one)])
  const child = await environment('child', [reference(parent)])
  const foreign = await environment('foreign', [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: 'y' }])
  await db.store.remove(keyOf(one))
  await gone(parent)
  await gone(child)
  await until(both, ({ ownerReferences }) => ownerReferences?.length === 1)
  expect(await isLeft(both)).toBe(true)
  await runner('one')
  await db.store.remove(keyOf(other))
  await gone(both)
  expect(await isLeft(foreign)).toBe(true)
})

test('what was left behind while nobody collected is found at the start', async () => {
  const one = await runner('one')
  const child = await environment('child', [reference(one)])
  const misled = await environment('misled', [
    reference(child, { uid: '00000000-0000-7000-8000-000000000000' }),
  ])
  const waiting = await environment('waiting', [], { finalizers: ['foregroundDeletion'] })
  await db.store.remove(keyOf(one))
  await db.store.remove(keyOf(waiting))
  launch()
  for (const each of [child, misled, waiting]) await gone(each)
})

test('in the foreground, an owner goes after those who block it, and they after their own', async () => {
  launch()
  const owner = await runner('owner')
  const child = await environment('child', [blocking(owner)])
  const grandchild = await environment('grandchild', [blocking(child)], { finalizers: ['example.com/hold'] })
  const bystander = await environment('bystander', [reference(owner)])
  const stranger = await environment('stranger')
  await db.store.remove(keyOf(owner), { propagation: 'Foreground' })
  await gone(bystander)
  const held = await until(grandchild, ({ deletionTimestamp }) => deletionTimestamp !== undefined)
  await until(child, ({ finalizers }) => finalizers?.includes('foregroundDeletion') === true)
  expect((await db.store.find(keyOf(owner)))?.metadata.finalizers).toEqual(['foregroundDeletion'])
  await db.store.update({ ...held!, metadata: { ...held!.metadata, finalizers: [] } }, 'main')
  for (const each of [grandchild, child, owner]) await gone(each)
  expect(await isLeft(stranger)).toBe(true)
})

test('orphans stay, and are nobody’s', async () => {
  launch()
  const [owner, other] = [await runner('owner'), await runner('other')]
  const orphan = await environment('orphan', [blocking(owner)])
  const half = await environment('half', [reference(owner), reference(other)])
  await db.store.remove(keyOf(owner), { propagation: 'Orphan' })
  await gone(owner)
  for (const [each, left] of [
    [orphan, 0],
    [half, 1],
  ] as const) {
    const found = await db.store.find(keyOf(each))
    expect(found?.metadata.ownerReferences ?? []).toHaveLength(left)
    expect(await isLeft(each)).toBe(true)
  }
})

test('an owner may be cluster-wide, but not in another namespace', async () => {
  launch()
  const organization = await db.store.create({
    kind: 'Organization',
    metadata: { name: namespace },
    spec: {},
  })
  const [here, there] = [await environment('here', [blocking(organization)]), await runner('elsewhere')]
  await db.store.remove(keyOf(organization), { propagation: 'Background' })
  const latest = await db.store.find(keyOf(organization))
  if (latest !== undefined)
    await db.store.update({ ...latest, metadata: { ...latest.metadata, finalizers: [] } }, 'main')
  await gone(here)
  // Its owner lives, but not where the reference says.
  const stray = await environment('stray', [blocking(there)], { namespace: `${namespace}-2` })
  await gone(stray)
  expect(await isLeft(there)).toBe(true)
})

test('a circle deleted in the foreground is left behind by nobody', async () => {
  launch()
  const first = await environment('first')
  const second = await environment('second', [blocking(first)])
  const closed = { ...first, metadata: { ...first.metadata, ownerReferences: [blocking(second)] } }
  await db.store.update(closed, 'main')
  await db.store.remove(keyOf(first), { propagation: 'Foreground' })
  for (const each of [first, second]) await gone(each)
})
