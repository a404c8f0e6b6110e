import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { eventually } from '../../test/support/eventually.ts'
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts'
import type { Key, Resource } from '../api/resource.ts'
import { systemClock } from '../lib/clock.ts'
import { Fault } from '../lib/fault.ts'
import { silentLog } from '../lib/log.ts'
import { createController } from './controller.ts'
import { createInformer } from './informer.ts'
import { again, type Outcome, type Reconciler, settled } from './reconcile.ts'
import type { Store } from './store.ts'
import { writeStatus } from './write.ts'

let db: TestDatabase
let stop: AbortController
let running: Promise<unknown>[]
beforeAll(async () => {
  db = await testDatabase()
})
afterAll(() => db.close())
beforeEach(() => {
  stop = new AbortController()
  running = []
})
afterEach(async () => {
  stop.abort()
  await Promise.all(running)
})

let count = 0
const draft = () => ({
  kind: 'Runner' as const,
  metadata: { name: `runner-${++count}`, namespace: 'default' },
  spec: { cordoned: false },
})
const key = (object: Resource<'Runner'>): Key<'Runner'> => ({
  kind: 'Runner',
  namespace: 'default',
  name: object.metadata.name,
})

/** Resolves when `body` has been called `times` times. */
function counted(times: number) {
  const { promise, resolve } = Promise.withResolvers<void>()
  let left = times
  return { reached: promise, tick: () => void (--left <= 0 && resolve()) }
}

function launch(
  reconcile: Reconciler<'Runner'>['reconcile'],
  more: Partial<Reconciler<'Runner'>> = {},
  store: Store = db.store,
) {
  const controller = createController<'Runner'>(
    { name: 'test', kind: 'Runner', reconcile, ...more },
    { store, clock: systemClock, log: silentLog },
  )
  running.push(controller.run(stop.signal))
  return controller
}

test('every object is looked at once at the start, and again when it changes', async () => {
  const before = await db.store.create(draft())
  const seen: string[] = []
  const first = counted(1)
  const changed = counted(1)
  launch(async (k, object) => {
    if (k.name !== before.metadata.name) return settled('not of this test')
    seen.push(String(object?.spec.cordoned))
    first.tick()
    if (object?.spec.cordoned) changed.tick()
    return settled('seen')
  })
  await first.reached
  await db.store.update({ ...before, spec: { cordoned: true } }, 'main')
  await changed.reached
  expect(seen).toEqual(['false', 'true'])
})

test('one worker per object; what changes meanwhile is seen once, in its latest state', async () => {
  let object = await db.store.create(draft())
  const { name } = object.metadata
  const labels: (string | undefined)[] = []
  let inside = 0
  let most = 0
  const entered = counted(1)
  const last = counted(1)
  const gate = Promise.withResolvers<void>()
  const controller = launch(async (k, latest) => {
    if (k.name !== name) return settled('not of this test')
    most = Math.max(most, ++inside)
    labels.push(latest?.metadata.labels?.n)
    entered.tick()
    if (labels.length === 1) await gate.promise
    inside -= 1
    if (latest?.metadata.labels?.n === '5') last.tick()
    return settled('seen')
  })
  await entered.reached
  for (const n of ['1', '2', '3', '4', '5']) {
    object = await db.store.update({ ...object, metadata: { ...object.metadata, labels: { n } } }, 'main')
  }
  await arrived(controller.informer, object)
  gate.resolve()
  await last.reached
  expect({ labels, most }).toEqual({ labels: [undefined, '5'], most: 1 })
})

test('an attempt sees its own writes at once, and is not woken by them', async () => {
  const object = await db.store.create(draft())
  let calls = 0
  const second = counted(2)
  const seen: unknown[] = []
  const controller = launch(async (k, latest, { store }): Promise<Outcome> => {
    if (k.name !== object.metadata.name || latest === undefined) return settled('not of this test')
    calls += 1
    seen.push(latest.status.version)
    second.tick()
    if (latest.status.version === '2') return settled('done')
    await store.update({ ...latest, status: { ...latest.status, version: String(calls) } }, 'status')
    return again(0, 'more to do')
  })
  await second.reached
  await eventually(db.store, key(object), found => found?.status.version === '2')
  const marker = await db.store.create(draft())
  await arrived(controller.informer, marker)
  await expect.poll(() => controller.outcome(key(object))?.kind).toBe('settled')
  expect({ seen, calls }).toEqual({ seen: [undefined, '1', '2'], calls: 3 })
})

test('a conflict is read again and tried at once', async () => {
  const object = await db.store.create(draft())
  let calls = 0
  const controller = launch(async (k, latest, { store }) => {
    if (k.name !== object.metadata.name || latest === undefined || latest.status.version !== undefined)
      return settled('nothing to do')
    calls += 1
    // Somebody else was quicker, and the watch has not told us.
    if (calls === 1) await db.store.update({ ...object, spec: { cordoned: true } }, 'main')
    await store.update({ ...latest, status: { ...latest.status, version: 'mine' } }, 'status')
    return settled('written')
  })
  const written = await eventually(db.store, key(object), found => found?.status.version === 'mine')
  expect([written?.spec.cordoned, calls]).toEqual([true, 2])
  await expect.poll(() => controller.outcome(key(object))?.kind).toBe('settled')
})

test('what somebody else changed before a write of its own is news, though the watch comes too late to say so', async () => {
  const object = await db.store.create(draft())
  const hold = Promise.withResolvers<void>()
  const late: Store = {
    ...bound(db.store),
    watch: async function* (kind, options, signal) {
      for await (const change of db.store.watch(kind, options, signal)) {
        await hold.promise
        yield change
      }
    },
  }
  const seen: unknown[] = []
  const heard: unknown[] = []
  const second = counted(2)
  const reconcile: Reconciler<'Runner'>['reconcile'] = async (k, latest, { store, onChange }) => {
    if (k.name !== object.metadata.name || latest === undefined) return settled('not of this test')
    onChange(changed => heard.push((changed as Resource<'Runner'> | undefined)?.spec.cordoned))
    seen.push(latest.spec.cordoned)
    second.tick()
    if (seen.length > 1) return settled('seen')
    await db.store.update({ ...object, spec: { cordoned: true } }, 'main')
    await writeStatus(store, latest, ({ status }) => ({ ...status, version: 'mine' }))
    return settled('written upon what somebody else wrote')
  }
  launch(reconcile, {}, late)
  await second.reached
  expect({ seen, heard }).toEqual({ seen: [false, true], heard: [true] })
  hold.resolve()
})

test('a fault that may pass is tried again; one that will not is parked until the object changes', async () => {
  const object = await db.store.create(draft())
  const faults = [
    new Fault('unavailable', 'test-busy', 'not now'),
    new Error('nobody planned for this'),
    new Fault('invalid', 'test-wrong', 'never so'),
  ]
  let calls = 0
  const parked = counted(3)
  const controller = launch(async (k, latest) => {
    if (k.name !== object.metadata.name || latest === undefined) return settled('not of this test')
    calls += 1
    parked.tick()
    const fault = faults.shift()
    if (fault !== undefined) throw fault
    return settled('well')
  })
  await parked.reached
  await expect.poll(() => controller.outcome(key(object))).toMatchObject({ kind: 'parked', why: 'never so' })
  await db.store.update({ ...object, spec: { cordoned: true } }, 'main')
  await expect.poll(() => controller.outcome(key(object))).toMatchObject({ kind: 'settled', why: 'well' })
  expect(calls).toBe(4)
})

test('a related object wakes those whom it concerns, and can be read from the copy', async () => {
  const object = await db.store.create(draft())
  const seen: number[] = []
  const controller = launch(
    async (k, _latest, { known }) => {
      if (k.name === object.metadata.name) seen.push(known('EnvironmentClass').length)
      return settled('seen')
    },
    {
      also: [
        {
          kind: 'EnvironmentClass',
          concerns: (_changed, all) =>
            all.filter(each => each.metadata.name === object.metadata.name).map(key),
        },
      ],
    },
  )
  await expect.poll(() => seen.length).toBeGreaterThan(0)
  await db.store.create({
    kind: 'EnvironmentClass',
    metadata: { name: 'small', namespace: 'default' },
    spec: { image: 'alpine', memory: '1Gi', disk: '1Gi', pids: 100 },
  })
  await expect.poll(() => seen.at(-1)).toBe(1)
  expect(controller.name).toBe('test')
})

test('an attempt hears of a change that makes it useless', async () => {
  const object = await db.store.create(draft())
  const begun = counted(1)
  const outcomes: string[] = []
  launch(async (k, latest, { onChange, signal }) => {
    if (k.name !== object.metadata.name) return settled('not of this test')
    if (latest === undefined) {
      outcomes.push('gone')
      return settled('gone')
    }
    const unwanted = Promise.withResolvers<void>()
    onChange(next => next === undefined && unwanted.resolve())
    signal.addEventListener('abort', () => unwanted.resolve())
    begun.tick()
    await unwanted.promise
    outcomes.push('given up')
    return settled('given up')
  })
  await begun.reached
  await db.store.remove(key(object))
  await expect.poll(() => outcomes).toEqual(['given up', 'gone'])
})

test('a controller whose signal is aborted before it runs ends at once', async () => {
  // It used to wait for an abort that had been: a runner that was stopped while it prepared its host never ended.
  stop.abort()
  launch(async () => settled('never'))
  await Promise.all(running)
})

test('broken watches and expired revisions lose nothing, and nothing goes backwards', async () => {
  // A store whose watch breaks after every second change, with either of the faults that the contract knows.
  let watches = 0
  let lists = 0
  const brittle: Store = {
    ...bound(db.store),
    list: (kind, options) => {
      lists += 1
      return db.store.list(kind, options)
    },
    watch: async function* (kind, options, signal) {
      watches += 1
      const reason = watches % 2 === 0 ? 'expired' : 'unavailable'
      let left = 2
      for await (const change of db.store.watch(kind, options, signal)) {
        yield change
        if (--left === 0) throw new Fault(reason, 'test-broken', 'the watch broke')
      }
    },
  }
  const informer = createInformer({ store: brittle, kind: 'Runner', clock: systemClock, log: silentLog })
  const versions = new Map<string, bigint>()
  informer.onChange((_key, object) => {
    if (object === undefined) return
    const { uid, resourceVersion } = object.metadata
    expect(BigInt(resourceVersion)).toBeGreaterThan(versions.get(uid) ?? 0n)
    versions.set(uid, BigInt(resourceVersion))
  })
  running.push(informer.run(stop.signal))
  await informer.synced
  let objects: Resource<'Runner'>[] = []
  for (let i = 0; i < 10; i++) objects.push(await db.store.create(draft()))
  objects = await Promise.all(
    objects.map(each => db.store.update({ ...each, spec: { cordoned: true } }, 'main')),
  )
  await db.store.remove(key(objects[0] as Resource<'Runner'>))
  const expected = (await db.store.list('Runner')).items
  const sorted = (items: readonly Resource<'Runner'>[]) =>
    items.toSorted((a, b) => (a.metadata.uid < b.metadata.uid ? -1 : 1))
  await expect.poll(() => sorted(informer.list()), { timeout: 20_000 }).toEqual(sorted(expected))
  expect(watches).toBeGreaterThan(2)
  expect(lists).toBeGreaterThan(1)
})

test('an answer to a write that comes late neither turns back the copy nor brings back what is gone', async () => {
  const informer = createInformer({ store: db.store, kind: 'Runner', clock: systemClock, log: silentLog })
  running.push(informer.run(stop.signal))
  await informer.synced
  const first = await db.store.create(draft())
  const second = await db.store.update({ ...first, spec: { cordoned: true } }, 'main')
  informer.feed(second, first.metadata.resourceVersion)
  informer.feed(first, first.metadata.resourceVersion)
  expect(informer.find(key(first))?.spec.cordoned).toBe(true)
  await db.store.remove(key(first))
  await expect.poll(() => informer.find(key(first))).toBeUndefined()
  informer.feed(second, first.metadata.resourceVersion)
  expect(informer.find(key(first))).toBeUndefined()
})

function bound(store: Store): Store {
  return {
    find: k => store.find(k),
    list: (kind, options) => store.list(kind, options),
    create: d => store.create(d),
    update: (next, part) => store.update(next, part),
    remove: (k, precondition) => store.remove(k, precondition),
    watch: (kind, options, signal) => store.watch(kind, options, signal),
  }
}

/** The copy has seen this revision. */
async function arrived(
  informer: { find(k: Key<'Runner'>): Resource<'Runner'> | undefined },
  object: Resource<'Runner'>,
) {
  const revision = BigInt(object.metadata.resourceVersion)
  await expect
    .poll(() => BigInt(informer.find(key(object))?.metadata.resourceVersion ?? 0))
    .toBeGreaterThanOrEqual(revision)
}
