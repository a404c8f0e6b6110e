// The whole life of an environment: real store, real scheduler, real runner loop, real processes. What is fake is the
// driver's isolation, and the places that images and content come from.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { eventually } from '../../test/support/eventually.ts'
import { type TestDatabase, testDatabase } from '../../test/support/postgres.ts'
import { type ContentMisbehaviour, createFakeContentSource } from '../adapters/fake/content.ts'
import { createFakeDriver, type Misbehaviour } from '../adapters/fake/driver.ts'
import { createFakeImageStore, type ImageMisbehaviour } from '../adapters/fake/images.ts'
import { findMarked, SANDBOX_VARIABLE } from '../adapters/fake/processes.ts'
import { findCondition, isTrue } from '../api/conditions.ts'
import { environmentSpecSchema } from '../api/kinds/environment.ts'
import type { Key, Resource } from '../api/resource.ts'
import { scheduler } from '../controllers/scheduler/reconcile.ts'
import { runController } from '../core/controller.ts'
import type { Driver } from '../core/driver.ts'
import type { Store } from '../core/store.ts'
import { systemClock } from '../lib/clock.ts'
import { Fault, toFault } from '../lib/fault.ts'
import { silentLog } from '../lib/log.ts'
import type { Entrances } from './entrances.ts'
import { runRunner } from './run-runner.ts'

type Environment = Resource<'Environment'>

let db: TestDatabase
let dir: string
let plane: AbortController
let controlPlane: Promise<void>
let runnerObject: Resource<'Runner'>

interface Launched {
  readonly driver: Driver
  readonly entrances: Entrances
  stop(): Promise<void>
}
let launched: Launched[] = []
let misbehave: Misbehaviour
let images: ImageMisbehaviour
let content: ContentMisbehaviour
const never = new AbortController().signal

beforeAll(async () => {
  db = await testDatabase()
  dir = await mkdtemp(join(tmpdir(), 'bothy-life-'))
  const metadata = { name: 'here', namespace: 'default' }
  runnerObject = await db.store.create({ kind: 'Runner', metadata, spec: { cordoned: false } })
  runnerObject = await db.store.update(
    {
      ...runnerObject,
      status: {
        conditions: [
          {
            type: 'Ready',
            status: 'True',
            reason: 'Test',
            message: '',
            lastTransitionTime: '2030-01-01T00:00:00Z',
          },
        ],
      },
    },
    'status',
  )
  await db.store.create({
    kind: 'EnvironmentClass',
    metadata: { name: 'small', namespace: 'default' },
    spec: {
      image: 'registry.example.com/base:1',
      fallbackImage: 'bootstrap:bookworm',
      memory: '1Gi',
      disk: '1Gi',
      pids: 100,
    },
  })
  plane = new AbortController()
  controlPlane = runController(scheduler(), {
    store: db.store,
    clock: systemClock,
    log: silentLog,
    signal: plane.signal,
  })
})
afterAll(async () => {
  plane.abort()
  await controlPlane
  await db.close()
  await rm(dir, { recursive: true })
})
beforeEach(() => {
  misbehave = {}
  images = {}
  content = {}
})
afterEach(async () => {
  for (const { items } of [await db.store.list('Environment')]) {
    for (const each of items) await db.store.remove(keyOf(each))
  }
  // Whoever is left cleans up; nothing of any test outlives it.
  delete misbehave.failDestroy
  if (launched.length === 0) await launch()
  for (const { items } of [await db.store.list('Environment')]) {
    for (const each of items) await eventually(db.store, keyOf(each), found => found === undefined)
  }
  for (const each of launched) await each.stop()
  launched = []
  expect(findMarked(SANDBOX_VARIABLE, value => value.startsWith(dir))).toEqual([])
})

async function launch(options: { store?: Store; stallMs?: number } = {}): Promise<Launched> {
  const stop = new AbortController()
  const driver = createFakeDriver({ dir, clock: systemClock, misbehave })
  let entrances: Entrances | undefined
  const done = runRunner({
    identity: {
      v: 1,
      server: 'https://127.0.0.1',
      ca: '',
      runner: { uid: runnerObject.metadata.uid, namespace: 'default', name: 'here' },
      signingKey: {},
      sealingKey: {},
      jwks: { keys: [] },
    },
    // The runner's two faces of the server: the store, and its lease.
    client: {
      store: options.store ?? db.store,
      request: async <T>() => (await db.leases.renew(runnerObject.metadata.uid, systemClock.now())) as T,
    },
    driver,
    images: createFakeImageStore({ clock: systemClock, misbehave: images }),
    content: createFakeContentSource(content),
    version: 'test',
    clock: systemClock,
    log: silentLog,
    signal: stop.signal,
    stallMs: options.stallMs ?? 20_000,
    onEntrances: made => {
      entrances = made
    },
  })
  const result: Launched = {
    driver,
    entrances: entrances as unknown as Entrances,
    async stop() {
      stop.abort()
      await done
      await driver.close()
      launched = launched.filter(each => each !== result)
    },
  }
  launched.push(result)
  return result
}

const keyOf = (environment: Environment): Key<'Environment'> => keyNamed(environment.metadata.name)
const keyNamed = (name: string): Key<'Environment'> => ({ kind: 'Environment', namespace: 'default', name })
let count = 0
const create = (spec: object = {}): Promise<Environment> =>
  db.store.create({
    kind: 'Environment',
    metadata: { name: `env-${++count}`, namespace: 'default' },
    spec: environmentSpecSchema.parse(spec),
  })
const phaseIs = (phase: string) => (found?: Environment) => found?.status.phase === phase
const running = (environment: Environment, epoch: number) =>
  eventually(
    db.store,
    keyOf(environment),
    found => found?.status.phase === 'Running' && found.status.epoch === epoch,
  )
const conditionOf = (environment: Environment | undefined, type: string) =>
  findCondition(environment?.status.conditions ?? [], type)
async function desire(environment: Environment, desired: 'Running' | 'Stopped'): Promise<void> {
  for (;;) {
    const latest = (await db.store.find(keyOf(environment))) as Environment
    try {
      await db.store.update({ ...latest, spec: { ...latest.spec, desired } }, 'main')
      return
    } catch (error) {
      if (toFault(error).reason !== 'conflict') throw error
    }
  }
}
async function say(entrances: Entrances, environment: Environment, script: string): Promise<string> {
  const exec = await entrances.exec(environment.metadata.uid)
  const stream = await exec({ argv: ['/bin/sh', '-c', script] }, never)
  stream.stdin.end()
  stream.stderr?.resume()
  return text(stream.stdout)
}

// Takes its time to end, so that there is something to interrupt.
const STUBBORN = 'trap "sleep 1; exit" TERM; while :; do sleep 0.1; done'

test('create, enter, stop, start again, delete', async () => {
  const { entrances, driver } = await launch()
  const created = await create()
  // No polling: the first command waits for what is on its way.
  expect(await say(entrances, created, 'echo kept > /workspaces/file; echo hello')).toBe('hello\n')
  const first = await running(created, 1)
  expect(isTrue(first?.status.conditions ?? [], 'Ready')).toBe(true)
  expect(
    first?.status.conditions.map(({ type, status, reason }) => `${type} ${status} ${reason}`).sort(),
  ).toEqual([
    'ContentReady True Empty',
    'ImageReady True Unpacked',
    'Ready True SandboxRunning',
    'Scheduled True Bound',
  ])
  expect(first?.status.stages.every(({ started, ended }) => ended !== undefined && ended >= started)).toBe(
    true,
  )
  expect(first?.status.stages.map(({ name }) => name).sort()).toEqual(['disk', 'image', 'sandbox', 'start'])

  await desire(created, 'Stopped')
  const stopped = await eventually(db.store, keyOf(created), phaseIs('Stopped'))
  expect([conditionOf(stopped, 'Ready')?.reason, stopped?.status.epoch]).toEqual(['Stopped', 1])
  expect((await entrances.exec(created.metadata.uid).catch(toFault)) as Fault).toMatchObject({
    reason: 'unavailable',
    code: 'environment-stopped',
  })

  await desire(created, 'Running')
  await running(created, 2)
  expect(await say(entrances, created, 'cat /workspaces/file')).toBe('kept\n')

  await db.store.remove(keyOf(created))
  await eventually(db.store, keyOf(created), found => found === undefined)
  expect(await driver.list()).toEqual([])
  expect((await entrances.exec(created.metadata.uid).catch(toFault)) as Fault).toMatchObject({
    reason: 'not_found',
  })
})

test('with a cached image and no content, starting costs two writes after the binding', async () => {
  await launch()
  await running(await create(), 1)
  const created = await create()
  const up = await running(created, 1)
  const changes: string[] = []
  const until = new AbortController()
  const options = { namespace: 'default', from: created.metadata.resourceVersion }
  for await (const change of db.store.watch('Environment', options, until.signal)) {
    if (change.object.metadata.uid === created.metadata.uid) changes.push(change.object.status.phase)
    if (change.at === up?.metadata.resourceVersion) until.abort()
  }
  expect(changes).toEqual(['Pending', 'Starting', 'Running'])
})

test.each(['Pending', 'Creating', 'Starting', 'Running', 'Stopping', 'Stopped', 'Deleting', 'Failed'])(
  'a runner that is restarted in phase %s goes on where it was',
  async phase => {
    images.delayMs = 300
    misbehave.startDelayMs = 300
    const one = await launch()
    const created = await create()
    const at = (wanted: string) => eventually(db.store, keyOf(created), phaseIs(wanted))
    if (phase === 'Failed') images.fail = () => new Fault('not_found', 'image-missing', 'no such image')
    if (phase === 'Pending') await one.stop()
    if (['Stopping', 'Stopped', 'Deleting'].includes(phase)) {
      await running(created, 1)
      await say(
        one.entrances,
        created,
        `echo kept > /workspaces/file; (${STUBBORN}) >/dev/null 2>&1 </dev/null & echo`,
      )
    }
    if (phase === 'Stopping' || phase === 'Stopped') await desire(created, 'Stopped')
    if (phase === 'Deleting') await db.store.remove(keyOf(created))
    if (phase !== 'Pending') await at(phase)
    await one.stop()
    const before = await db.store.find(keyOf(created))
    delete images.fail

    const two = await launch()
    switch (phase) {
      case 'Deleting':
        expect(await eventually(db.store, keyOf(created), found => found === undefined)).toBeUndefined()
        return
      case 'Failed':
        // Parked stays parked: nobody changed anything.
        await running(await create(), 1)
        expect((await db.store.find(keyOf(created)))?.status.epoch).toBe(before?.status.epoch)
        return
      case 'Stopping':
      case 'Stopped':
        await at('Stopped')
        await desire(created, 'Running')
        await running(created, 2)
        expect(await say(two.entrances, created, 'cat /workspaces/file')).toBe('kept\n')
        return
      default: {
        const up = await eventually(db.store, keyOf(created), phaseIs('Running'))
        expect(await say(two.entrances, created, 'echo alive')).toBe('alive\n')
        // What ran went on running; what had only been announced got an epoch of its own.
        const expected = { Pending: 1, Creating: 1, Starting: 2, Running: 1 }[phase]
        expect(up?.status.epoch).toBe(expected)
      }
    }
  },
)

test('content is made once, and its progress is in the log', async () => {
  const { entrances } = await launch()
  const url = 'https://git.example.com/team/app.git'
  const created = await create({ content: { git: { url, directory: 'app' } } })
  const up = await running(created, 1)
  expect(up?.status.git).toMatchObject({ directory: 'repository', commit: 'c0ffee'.padEnd(40, '0') })
  expect(up?.status.stages.map(({ name }) => name)).toContain('content')
  await desire(created, 'Stopped')
  await eventually(db.store, keyOf(created), phaseIs('Stopped'))
  await desire(created, 'Running')
  const again = await running(created, 2)
  expect(again?.status.stages.map(({ name }) => name)).not.toContain('content')
  expect(again?.status.git).toEqual(up?.status.git)
  expect(await say(entrances, created, 'cat /workspaces/app/source /workspaces/app/made')).toBe(
    `${url}\nmade\n`,
  )
  const log = await text(await entrances.logs(created.metadata.uid, { follow: false }, never))
  expect(log).toMatch(
    /^\S+Z image: fetching registry[^]*content: begun\n[^]*content: done\n[^]*start: running, epoch 1\n/m,
  )
  expect(await text(await entrances.logs(created.metadata.uid, { follow: false, tail: 1 }, never))).toMatch(
    /epoch 2\n$/,
  )
})

test('content that is sent is waited for, and only a whole one counts', async () => {
  const { entrances, driver } = await launch()
  const created = await create({ content: { upload: { directory: 'app' } } })
  const waiting = await eventually(
    db.store,
    keyOf(created),
    found => conditionOf(found, 'ContentReady')?.reason === 'AwaitingUpload',
  )
  expect(waiting?.status.phase).toBe('Creating')
  const { uid } = created.metadata
  const broken = new PassThrough()
  const receiving = entrances.receiveContent(uid, broken, never)
  broken.write('half of')
  broken.destroy(new Error('connection lost'))
  await expect(receiving).rejects.toThrow('connection lost')
  await entrances.receiveContent(uid, Readable.from([Buffer.from('the '), Buffer.from('bundle\n')]), never)
  await running(created, 1)
  expect(await say(entrances, created, 'cat /workspaces/app/source')).toBe('the bundle\n')
  const late = await entrances.receiveContent(uid, Readable.from([]), never).catch(toFault)
  expect(late).toMatchObject({ code: 'content-there-already' })
  // The bundle is gone, and so is the half one.
  expect((await readdir(driver.folder(uid))).filter(name => name.includes('bundle'))).toEqual([])
})

test('what may pass is tried again, and it is said when', async () => {
  content.exits = [75]
  const { entrances } = await launch()
  const created = await create({ content: { git: { url: 'https://git.example.com/app', directory: 'app' } } })
  const retrying = await eventually(
    db.store,
    keyOf(created),
    found => conditionOf(found, 'Ready')?.reason === 'RepositoryUnreachable',
  )
  expect(retrying?.status.phase).toBe('Creating')
  expect(conditionOf(retrying, 'Ready')?.message).toContain('trying again in 1 s (attempt 2 of 4)')
  expect(conditionOf(retrying, 'ContentReady')).toMatchObject({ status: 'False', hint: 'try later' })
  const up = await running(created, 1)
  expect(isTrue(up?.status.conditions ?? [], 'ContentReady')).toBe(true)
  expect(await say(entrances, created, 'echo in')).toBe('in\n')
})

test('what will not pass is Failed at once, says why, and waits for a person', async () => {
  content.exits = [128]
  const { entrances } = await launch()
  const created = await create({ content: { git: { url: 'https://git.example.com/app', ref: 'nope' } } })
  const failed = await eventually(db.store, keyOf(created), phaseIs('Failed'))
  expect(conditionOf(failed, 'Ready')).toMatchObject({
    status: 'False',
    reason: 'RefNotFound',
    message: expect.stringContaining('clone: exit 128'),
    hint: 'name a branch that exists',
  })
  expect((await entrances.exec(created.metadata.uid).catch(toFault)) as Fault).toMatchObject({
    code: 'environment-failed',
    hint: 'name a branch that exists',
  })
  // Asked to stop and to start again: that is a person's answer.
  await desire(created, 'Stopped')
  await eventually(db.store, keyOf(created), phaseIs('Stopped'))
  await desire(created, 'Running')
  await running(created, 1)
})

test('a driver that keeps failing is given up after a few attempts', async () => {
  const fault = () =>
    new Fault('exhausted', 'no-space-left', 'make a disk: no space left', { hint: 'delete something' })
  misbehave.failEnsure = [fault(), fault()]
  await launch()
  const lucky = await create()
  expect((await running(lucky, 3))?.status.epoch).toBe(3)
  misbehave.failDisk = new Fault('invalid', 'disk-wrong', 'make a disk: never')
  const failed = await eventually(db.store, keyOf(await create()), phaseIs('Failed'))
  expect(conditionOf(failed, 'Ready')).toMatchObject({ reason: 'DiskWrong' })
})

test('an image from a registry that cannot be reached is replaced, and it is said', async () => {
  images.fail = name =>
    name.startsWith('registry') ? new Fault('unavailable', 'registry-unreachable', 'no route') : undefined
  await launch()
  const up = await running(await create(), 1)
  expect(up?.status.image?.reference).toBe('bootstrap:bookworm')
  expect(conditionOf(up, 'ImageReady')).toMatchObject({
    status: 'True',
    reason: 'Fallback',
    message: expect.stringContaining('no route'),
  })
  // Who names an image gets that one or none.
  images.fail = () => new Fault('not_found', 'image-missing', 'no such tag')
  const named = await eventually(
    db.store,
    keyOf(await create({ image: 'registry.example.com/mine:1' })),
    phaseIs('Failed'),
  )
  expect(conditionOf(named, 'ImageReady')).toMatchObject({ status: 'False', reason: 'ImageMissing' })
  expect(isTrue(named?.status.conditions ?? [], 'ImageReady')).toBe(false)
})

test('a stall is noticed by silence, slow work is not', async () => {
  images.delayMs = 1_500
  await launch({ stallMs: 400 })
  await running(await create({ image: 'registry.example.com/slow:1' }), 1)
  images.hang = true
  const created = await create({ image: 'registry.example.com/hanging:1' })
  const stalled = await eventually(
    db.store,
    keyOf(created),
    found => conditionOf(found, 'Ready')?.reason === 'Stalled',
  )
  expect(conditionOf(stalled, 'ImageReady')?.message).toMatch(
    /no progress for 1 s; the last that was heard: image: fetching/,
  )
  images.hang = false
  await running(created, 1)
})

test('stopping and deleting do not wait for work that nobody wants any more', async () => {
  images.hang = true
  const { driver } = await launch()
  const created = await create({ image: 'registry.example.com/hanging:2' })
  await eventually(db.store, keyOf(created), phaseIs('Creating'))
  await desire(created, 'Stopped')
  await eventually(db.store, keyOf(created), phaseIs('Stopped'))
  await desire(created, 'Running')
  await eventually(db.store, keyOf(created), phaseIs('Creating'))
  await db.store.remove(keyOf(created))
  await eventually(db.store, keyOf(created), found => found === undefined)
  expect(await driver.list()).toEqual([])
})

test('a sandbox that ends by itself is started again, with its disk, and with a pause if it goes on ending', async () => {
  misbehave.dieAfterMs = 150
  const { entrances } = await launch()
  const created = await create()
  await say(entrances, created, 'echo kept > /workspaces/file')
  const ended = await eventually(db.store, keyOf(created), found =>
    /starting it again in/.test(conditionOf(found, 'Ready')?.message ?? ''),
  )
  expect(conditionOf(ended, 'Ready')).toMatchObject({ status: 'False', reason: 'SandboxEnded' })
  expect(ended?.status.phase).toBe('Starting')
  delete misbehave.dieAfterMs
  const up = await eventually(
    db.store,
    keyOf(created),
    found => phaseIs('Running')(found) && (found?.status.epoch ?? 0) > 2,
  )
  expect(up?.status.epoch).toBe(3)
  expect(await say(entrances, created, 'cat /workspaces/file')).toBe('kept\n')
})

test('a failing destroy is said, and tried until it succeeds', async () => {
  const { driver } = await launch()
  const created = await create()
  await running(created, 1)
  misbehave.failDestroy = new Fault('internal', 'umount-busy', 'unmount: busy')
  await db.store.remove(keyOf(created))
  const stuck = await eventually(
    db.store,
    keyOf(created),
    found => conditionOf(found, 'Ready')?.reason === 'DeleteFailed',
  )
  expect(stuck?.status.phase).toBe('Deleting')
  delete misbehave.failDestroy
  await eventually(db.store, keyOf(created), found => found === undefined)
  expect(await driver.list()).toEqual([])
})

test('what was deleted while the runner was away is removed, but never because the server cannot be asked', async () => {
  const one = await launch()
  const kept = await create()
  const lost = await create()
  await Promise.all([running(kept, 1), running(lost, 1)])
  await one.stop()
  // Its finalizer was taken off by force.
  await db.store.remove(keyOf(lost))
  const latest = (await db.store.find(keyOf(lost))) as Environment
  await db.store.update({ ...latest, metadata: { ...latest.metadata, finalizers: [] } }, 'main')

  let reachable = false
  let asked = 0
  const { store } = db
  const flaky: Store = {
    find: async key => {
      if (key.kind === 'Environment') {
        asked += 1
        if (!reachable) throw new Fault('unavailable', 'server-away', 'no route')
      }
      return store.find(key)
    },
    list: (kind, options) => store.list(kind, options),
    create: draft => store.create(draft),
    update: (next, part) => store.update(next, part),
    remove: (key, precondition) => store.remove(key, precondition),
    watch: (kind, options, signal) => store.watch(kind, options, signal),
  }
  const two = await launch({ store: flaky })
  await expect.poll(() => asked, { timeout: 10_000 }).toBeGreaterThan(1)
  expect((await two.driver.list()).toSorted()).toEqual([kept.metadata.uid, lost.metadata.uid].toSorted())
  reachable = true
  await expect.poll(() => two.driver.list(), { timeout: 10_000 }).toEqual([kept.metadata.uid])
  expect(await say(two.entrances, kept, 'echo alive')).toBe('alive\n')
})

test('a server that is away while the sandbox starts does not make it fail', async () => {
  const { store } = db
  let refused = 0
  const flaky: Store = {
    find: key => store.find(key),
    list: (kind, options) => store.list(kind, options),
    create: draft => store.create(draft),
    update: async (next, part) => {
      const status = next.status as { phase?: string }
      if (status.phase === 'Running' && refused++ < 2)
        throw new Fault('unavailable', 'server-away', 'no route')
      return store.update(next, part)
    },
    remove: (key, precondition) => store.remove(key, precondition),
    watch: (kind, options, signal) => store.watch(kind, options, signal),
  }
  await launch({ store: flaky })
  const up = await running(await create(), 1)
  expect([refused, up?.status.epoch]).toEqual([3, 1])
})

test('its own status says what it is, and the environment remembers what it lies on', async () => {
  const { driver } = await launch()
  const created = await create()
  await running(created, 1)
  const here = await eventually(
    db.store,
    { kind: 'Runner', namespace: 'default', name: 'here' },
    found => findCondition(found?.status.conditions ?? [], 'DriverReady')?.status === 'True',
  )
  expect(here?.status).toMatchObject({ version: 'test', driver: 'fake' })
  expect(here?.status.conditions.map(({ type }) => type).sort()).toEqual(['DriverReady', 'Ready'])
  const record = JSON.parse(
    await readFile(join(driver.folder(created.metadata.uid), 'environment.json'), 'utf8'),
  )
  expect(record).toMatchObject({
    uid: created.metadata.uid,
    content: {},
    image: { reference: 'registry.example.com/base:1' },
  })
})
