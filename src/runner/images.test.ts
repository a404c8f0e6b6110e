import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createFakeDriver } from '../adapters/fake/driver.ts'
import { createFakeImageStore } from '../adapters/fake/images.ts'
import { environmentClassSpecSchema } from '../api/kinds/environment-class.ts'
import { uuidv7 } from '../lib/ids.ts'
import { silentLog } from '../lib/log.ts'
import { createManualClock } from '../lib/manual-clock.ts'
import { createImages } from './environments/image.ts'
import { writeRecord } from './environments/record.ts'
import { createImageUpkeep } from './images.ts'
import { writeSnapshotRecord } from './snapshots/record.ts'
import type { StorageStatus } from './storage.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bothy-upkeep-'))
})
afterEach(() => rm(dir, { recursive: true }))

const open = (shares = true) => {
  const clock = createManualClock(0)
  const driver = createFakeDriver({ dir, clock })
  const store = createFakeImageStore({ clock })
  const notes: string[] = []
  const measured: StorageStatus[] = []
  const abort = new AbortController()
  const images = createImages({
    store,
    clock,
    makeRoom: () => upkeep.makeRoom('image'),
    onFetched: () => upkeep.changed(),
  })
  const upkeep = createImageUpkeep({
    ...{ driver, images: store, user: 'me', clock, log: silentLog, signal: abort.signal },
    inFlight: () => images.inFlight(),
    idleMs: 0,
    isLow: () => false,
    shareRoom: async () => shares,
    onRemoved: note => notes.push(note),
    onStorage: storage => measured.push(storage),
  })
  const environmentClass = environmentClassSpecSchema.parse({
    image: 'x',
    memory: '1Gi',
    disk: '1Gi',
    pids: 100,
  })
  const fetch = (uid: string, image: string) => {
    const wanted = { spec: { image }, environmentClass, record: { uid, namespace: 'n', name: 'e' } }
    return images.ensure(wanted, () => undefined, abort.signal)
  }
  const here = async () => (await store.list(abort.signal)).flatMap(({ references }) => references).toSorted()
  return { driver, images, upkeep, notes, measured, abort, fetch, here }
}

test('what a start is about to use stays, what an environment lies on top of stays, and the rest makes room', async () => {
  const { driver, images, upkeep, notes, fetch, here } = open()
  const [starting, stopped, gone] = [uuidv7(), uuidv7(), uuidv7()]
  await fetch(starting, 'team/starting:1')
  const image = await fetch(stopped, 'team/stopped:1')
  await driver.ensureDisk(stopped, 2 ** 20, new AbortController().signal)
  await writeRecord(driver.folder(stopped), { uid: stopped, namespace: 'n', name: 'e', image })
  await fetch(gone, 'team/gone:1')
  for (const uid of [stopped, gone]) images.release(uid)
  expect(await upkeep.makeRoom('disk')).toBe(true)
  expect(await here()).toEqual(['team/starting:1', 'team/stopped:1'])
  expect(notes).toEqual(['removed one image that nothing needs, 1Mi, to make room: team/gone:1'])
  images.release(starting)
  // Two who ask at once share one look.
  expect(await Promise.all([upkeep.makeRoom('disk'), upkeep.makeRoom('disk')])).toEqual([true, true])
  expect(await upkeep.makeRoom('disk')).toBe(false)
  expect(await here()).toEqual(['team/stopped:1'])
})

test('what moves while it is looked for stays', async () => {
  const { driver, images, upkeep, fetch, here, abort } = open()
  const [starting, parent, snapshot] = [uuidv7(), uuidv7(), uuidv7()]
  const record = (uid: string) => ({ uid, namespace: 'n', name: 'e' })
  const image = await fetch(starting, 'team/starting:1')
  const other = await fetch(parent, 'team/parent:1')
  await driver.ensureDisk(parent, 2 ** 20, abort.signal)
  await writeRecord(driver.folder(parent), { ...record(parent), image: other })
  images.release(parent)
  // A start comes to its end just after the environments were listed.
  const list = driver.list.bind(driver)
  vi.spyOn(driver, 'list').mockImplementationOnce(async () => {
    const listed = await list()
    await driver.ensureDisk(starting, 2 ** 20, abort.signal)
    await writeRecord(driver.folder(starting), { ...record(starting), image })
    images.release(starting)
    return listed
  })
  expect(await upkeep.makeRoom('disk')).toBe(false)
  // An environment goes just after the snapshots were listed, and one was made of it.
  const listSnapshots = driver.listSnapshots.bind(driver)
  vi.spyOn(driver, 'listSnapshots').mockImplementationOnce(async () => {
    const listed = await listSnapshots()
    const environment = { uid: parent, epoch: 1 }
    const of = { namespace: 'n', name: 's', createdMs: 0, environment, image: other }
    await writeSnapshotRecord(driver.snapshotFolder(snapshot), { uid: snapshot, ...of })
    await driver.takeSnapshot(snapshot, parent, abort.signal)
    await driver.destroy(parent)
    return listed
  })
  expect(await upkeep.makeRoom('disk')).toBe(false)
  expect(await here()).toEqual(['team/parent:1', 'team/starting:1'])
})

test('images on a file system of their own go for other images, and not for disks', async () => {
  const { images, upkeep, fetch, here } = open(false)
  const uid = uuidv7()
  await fetch(uid, 'team/app:1')
  images.release(uid)
  expect(await upkeep.makeRoom('disk')).toBe(false)
  expect(await here()).toEqual(['team/app:1'])
  expect(await upkeep.makeRoom('image')).toBe(true)
})

test('what there is is measured at first, and told in numbers', async () => {
  const { driver, upkeep, measured, abort, fetch } = open()
  const uid = uuidv7()
  const image = await fetch(uid, 'team/app:1')
  await driver.ensureDisk(uid, 2 ** 20, abort.signal)
  await writeRecord(driver.folder(uid), { uid, namespace: 'n', name: 'e', image })
  const running = upkeep.run()
  await expect.poll(() => measured.length).toBe(1)
  abort.abort()
  await running
  expect(measured[0]).toMatchObject({
    time: '1970-01-01T00:00:00Z',
    size: '1048576Mi',
    free: '524288Mi',
    disks: { count: 1 },
    snapshots: { count: 0, size: '0' },
    images: { count: 1, size: '1Mi', largest: [{ references: ['team/app:1'], size: '1Mi', users: 1 }] },
  })
})
