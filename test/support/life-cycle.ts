// A runner's life in a test: real store, real scheduler, real runner loop, real processes. What is fake is the driver's
// isolation, and the places that images and content come from.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { type ContentMisbehaviour, createFakeContentSource } from '../../src/adapters/fake/content.ts'
import { createFakeDriver, type Misbehaviour } from '../../src/adapters/fake/driver.ts'
import { createFakeImageStore, type ImageMisbehaviour } from '../../src/adapters/fake/images.ts'
import { findMarked, SANDBOX_VARIABLE } from '../../src/adapters/fake/processes.ts'
import { type Condition, findCondition } from '../../src/api/conditions.ts'
import { environmentSpecSchema } from '../../src/api/kinds/environment.ts'
import type { Key, Resource } from '../../src/api/resource.ts'
import { scheduler } from '../../src/controllers/scheduler/reconcile.ts'
import { runController } from '../../src/core/controller.ts'
import type { Driver } from '../../src/core/driver.ts'
import { createEvents, type Events } from '../../src/core/events.ts'
import type { Store } from '../../src/core/store.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { toFault } from '../../src/lib/fault.ts'
import { silentLog } from '../../src/lib/log.ts'
import type { Entrances } from '../../src/runner/entrances.ts'
import { runRunner } from '../../src/runner/run-runner.ts'
import { eventually } from './eventually.ts'
import { type TestDatabase, testDatabase } from './postgres.ts'

export type Environment = Resource<'Environment'>

export interface Launched {
  readonly driver: Driver
  readonly entrances: Entrances
  stop(): Promise<void>
}

export interface LifeCycle {
  /** What the next calls of driver, images and content do wrong; forgotten after each test. */
  readonly misbehave: Misbehaviour
  readonly images: ImageMisbehaviour
  readonly content: ContentMisbehaviour
  store(): Store
  /** Starts the runner; several in a row are restarts on one host. */
  launch(options?: { store?: Store; stallMs?: number }): Promise<Launched>
  create(spec?: object): Promise<Environment>
  desire(environment: Environment, desired: 'Running' | 'Stopped'): Promise<void>
  remove(environment: Environment): Promise<void>
  /** Waits until the environment is as it should be. */
  until(environment: Environment, isRight: (found?: Environment) => boolean): Promise<Environment | undefined>
  phase(environment: Environment, phase: string): Promise<Environment | undefined>
  running(environment: Environment, epoch: number): Promise<Environment | undefined>
}

export const keyOf = (environment: Environment): Key<'Environment'> => ({
  kind: 'Environment',
  namespace: 'default',
  name: environment.metadata.name,
})

export const conditionOf = (environment: Environment | undefined, type: string): Condition | undefined =>
  findCondition(environment?.status.conditions ?? [], type)

/** What a script prints inside. */
export async function say(entrances: Entrances, environment: Environment, script: string): Promise<string> {
  const exec = await entrances.exec(environment.metadata.uid)
  const stream = await exec({ argv: ['/bin/sh', '-c', script] }, new AbortController().signal)
  stream.stdin.end()
  stream.stderr?.resume()
  return text(stream.stdout)
}

/** The store, with some of its doors replaced. */
export function storeWith(store: () => Store, doors: Partial<Store>): Store {
  return {
    find: key => store().find(key),
    list: (kind, options) => store().list(kind, options),
    create: draft => store().create(draft),
    update: (next, part) => store().update(next, part),
    remove: (key, precondition) => store().remove(key, precondition),
    watch: (kind, options, signal) => store().watch(kind, options, signal),
    ...doors,
  }
}

/** Registers its set-up and its clean-up with the test file that calls it. */
export function useLifeCycle(): LifeCycle {
  let db: TestDatabase
  let dir: string
  let controlPlane: Promise<void>
  let events: Events
  let runnerObject: Resource<'Runner'>
  let launched: Launched[] = []
  let count = 0
  const plane = new AbortController()
  const misbehave: Misbehaviour = {}
  const images: ImageMisbehaviour = {}
  const content: ContentMisbehaviour = {}

  beforeAll(async () => {
    db = await testDatabase()
    dir = await mkdtemp(join(tmpdir(), 'bothy-life-'))
    const metadata = { name: 'here', namespace: 'default' }
    const runner = await db.store.create({ kind: 'Runner', metadata, spec: { cordoned: false } })
    const lastTransitionTime = '2030-01-01T00:00:00Z'
    const ready = { type: 'Ready', status: 'True', reason: 'Test', message: '', lastTransitionTime } as const
    runnerObject = await db.store.update({ ...runner, status: { conditions: [ready] } }, 'status')
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
    events = createEvents({ store: db.store, clock: systemClock, log: silentLog, instance: 'test' })
    controlPlane = runController(scheduler({ events: events.recorder('scheduler') }), {
      store: db.store,
      clock: systemClock,
      log: silentLog,
      signal: plane.signal,
    })
  })
  afterAll(async () => {
    plane.abort()
    await controlPlane
    await events.close(1_000)
    await db.close()
    await rm(dir, { recursive: true })
  })
  afterEach(async () => {
    for (const wrong of [misbehave, images, content] as Record<string, unknown>[]) {
      for (const name of Object.keys(wrong)) delete wrong[name]
    }
    // Whoever is left cleans up; nothing of any test outlives it.
    if (launched.length === 0) await launch()
    const { items } = await db.store.list('Environment')
    for (const each of items) await db.store.remove(keyOf(each))
    for (const each of items) await until(each, found => found === undefined)
    for (const each of items) await events.settle(each, 1_000)
    for (const each of launched) await each.stop()
    expect(findMarked(SANDBOX_VARIABLE, value => value.startsWith(dir))).toEqual([])
  })

  const until = (environment: Environment, isRight: (found?: Environment) => boolean) =>
    eventually(db.store, keyOf(environment), isRight)

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

  return {
    misbehave,
    images,
    content,
    store: () => db.store,
    launch,
    create: (spec = {}) =>
      db.store.create({
        kind: 'Environment',
        metadata: { name: `env-${++count}`, namespace: 'default' },
        spec: environmentSpecSchema.parse(spec),
      }),
    async desire(environment, desired) {
      for (;;) {
        const latest = (await db.store.find(keyOf(environment))) as Environment
        try {
          await db.store.update({ ...latest, spec: { ...latest.spec, desired } }, 'main')
          return
        } catch (error) {
          if (toFault(error).reason !== 'conflict') throw error
        }
      }
    },
    async remove(environment) {
      await db.store.remove(keyOf(environment))
    },
    until,
    phase: (environment, phase) => until(environment, found => found?.status.phase === phase),
    running: (environment, epoch) =>
      until(environment, found => found?.status.phase === 'Running' && found.status.epoch === epoch),
  }
}
