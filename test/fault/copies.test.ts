// Forks and snapshots, cut off between any two steps: each is there whole, or not at all, nothing is left of an attempt,
// and whoever was copied goes on.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Key } from '../../src/api/resource.ts'
import { whyNoSandboxes } from '../support/host.ts'
import { titled } from '../support/requirements.ts'
import { expectMarked, type Known, openWorld, type World } from './world.ts'

const why = whyNoSandboxes()

const COPY = ['linux.disk-copying', 'linux.disk-frozen', 'linux.disk-copied'] as const
const FORK = [
  'runner.recorded',
  ...COPY,
  'runner.disk-copied',
  'runner.content-recorded',
  'runner.announced',
] as const
const TAKE = ['scheduler.binding', 'runner.snapshot-recorded', ...COPY, 'runner.snapshot-taken'] as const
const DROP = ['runner.snapshot-deleting', 'runner.snapshot-destroyed'] as const
const VICTIMS = ['runner', 'everything', 'server', 'database'] as const
const trials = (points: readonly string[]) =>
  points.flatMap((point, index) =>
    [0, 1].map(more => [point, VICTIMS[(2 * index + more) % VICTIMS.length]!] as const),
  )

describe.skipIf(why !== undefined)(titled('copies', why), () => {
  let world: World
  let parent: Known
  let serial = 0

  beforeAll(async () => {
    world = await openWorld()
    parent = await world.create('parent')
    await world.settled()
    await world.mark(parent)
  })
  afterAll(() => world.close())

  /** The one that was copied runs, as the same, and can write. */
  const goesOn = async () =>
    expect(await world.say('parent', 'echo x > /workspaces/after; sync; echo on')).toBe('on')

  const passed = async (points: readonly string[]) =>
    [...new Set(await world.failpoints.trace())].filter(point => points.includes(point))

  describe('a fork', () => {
    const fork = async (): Promise<Known> => {
      const name = `fork-${++serial}`
      return world.create(name, { environment: { name: 'parent' } })
    }
    const check = async (one: Known) => {
      await world.settled()
      await expectMarked(world, one)
      await goesOn()
      await world.remove(one)
      await world.settled()
    }

    test('passes the points that are listed here', async () => {
      await world.failpoints.trace()
      const one = await fork()
      await world.settled()
      // The announcement goes beside the copy.
      const own = (await passed(FORK)).filter(point => point !== 'runner.announced')
      expect(own).toEqual(FORK.filter(point => point !== 'runner.announced'))
      await check(one)
    })

    test.each(trials(FORK))('at %s, %s is killed', async (point, victim) => {
      let one: Known | undefined
      await world.strike(point, victim, async () => {
        one = await fork()
      })
      await check(one!)
    })

    test('whose source goes while it is made is whole, or fails and says why', async () => {
      const source = await world.create(`source-${++serial}`)
      await world.settled()
      await world.mark(source)
      let one: Known | undefined
      await world.strike('linux.disk-frozen', 'runner', async () => {
        one = await world.create(`fork-${++serial}`, { environment: { name: source.name } })
        await world.remove(source)
      })
      const found = await world.until(one!.name, each =>
        ['Running', 'Failed'].includes(each?.status.phase ?? ''),
      )
      if (found?.status.phase === 'Running') {
        await expectMarked(world, one!)
      } else {
        const ready = found?.status.conditions.find(each => each.type === 'Ready')
        expect(ready).toMatchObject({ reason: 'SourceNotFound' })
      }
      await world.remove(one!)
      await world.settled()
    })
  })

  describe('a snapshot', () => {
    const key = (): Key<'Snapshot'> => ({ kind: 'Snapshot', namespace: 'default', name: `kept-${serial}` })
    const folder = () => join(world.stack.dataDir, 'host', 'pool', 'snapshots')
    const files = (uid: string) =>
      existsSync(join(folder(), uid)) ? readdirSync(join(folder(), uid)).toSorted() : []
    const insist = <T>(what: Parameters<typeof world.client<T>>[0]) =>
      vi.waitFor(() => world.client(what), { timeout: 40_000, interval: 50 })
    const take = async () => {
      serial += 1
      const { name, namespace } = key()
      await insist(async ({ store }) => {
        const spec = { environment: 'parent' }
        return (
          (await store.find(key())) ?? store.create({ kind: 'Snapshot', metadata: { name, namespace }, spec })
        )
      })
    }
    const drop = () =>
      insist(async ({ store }) => {
        const found = await store.find(key())
        if (found !== undefined && found.metadata.deletionTimestamp === undefined) await store.remove(key())
      })
    const ready = async () => {
      const uid = await insist(async ({ store }) => {
        const found = await store.find(key())
        expect(found?.status.phase).toBe('Ready')
        return found!.metadata.uid
      })
      expect(files(uid)).toEqual(['disk.img', 'snapshot.json'])
      expect(readdirSync(folder())).toEqual([uid])
    }
    const gone = async () => {
      await insist(async ({ store }) => expect(await store.find(key())).toBeUndefined())
      expect(readdirSync(folder())).toEqual([])
    }

    test('passes the points that are listed here', async () => {
      await world.failpoints.trace()
      await take()
      await ready()
      expect(await passed(TAKE)).toEqual(TAKE)
      await drop()
      await gone()
      expect(await passed(DROP)).toEqual(DROP)
    })

    test.each(trials(TAKE))('is taken, although at %s, %s is killed', async (point, victim) => {
      await world.strike(point, victim, take)
      await ready()
      await goesOn()
      const one = await world.create(`of-snapshot-${serial}`, { snapshot: { name: key().name } })
      await world.settled()
      await expectMarked(world, one)
      await world.remove(one)
      await drop()
      await gone()
      await world.settled()
    })

    test.each(trials(DROP))('is deleted, although at %s, %s is killed', async (point, victim) => {
      await take()
      await ready()
      await world.strike(point, victim, drop)
      await gone()
      await goesOn()
    })
  })
})
