// Between any two steps of an environment's life something is killed. Whatever it was, and whenever: what was asked for
// is reached, what was written is there, nothing is left over, and nobody else's sandbox is touched.
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { whyNoSandboxes } from '../support/host.ts'
import { titled } from '../support/requirements.ts'
import type { Victim } from './processes.ts'
import { expectMarked, type Known, openWorld, type World } from './world.ts'

const why = whyNoSandboxes()

// The points of each part of a life, in order: see src/lib/failpoint.ts. The first test of each part holds them against
// what is really passed, so that a new step is not forgotten here.
const START = [
  'linux.slot-taken',
  'linux.sandbox-configured',
  'linux.keeper-spawned',
  'linux.keeper-planned',
  'linux.keeper-ready',
  'runner.started',
]
const END = ['linux.cgroup-removed', 'linux.runtime-removed']
const STEPS = {
  create: ['scheduler.binding', 'runner.recorded', 'linux.disk-copied', 'runner.announced', ...START],
  stop: ['runner.stopping', ...END, 'runner.stopped'],
  start: ['runner.recorded', 'runner.announced', ...START],
  delete: ['runner.deleting', ...END, 'linux.sandbox-removed', 'runner.destroyed'],
} as const
// Writes of each part, as many as the server commits for it.
const COMMITS = { create: 4, stop: 3, start: 3, delete: 4 } as const

type Part = keyof typeof STEPS

/** Every point is struck twice, and every victim falls in every part. */
const trials = (part: Part): (readonly [point: string, victim: Victim, after: number])[] => [
  ...STEPS[part].flatMap((point, index) => {
    const pair = index % 2 === 0 ? (['everything', 'server'] as const) : (['runner', 'database'] as const)
    return pair.map(victim => [point, victim, 0] as const)
  }),
  ...Array.from({ length: COMMITS[part] }, (_, after) => [
    ['server.committing', 'server', after] as const,
    ['server.committed', after % 2 === 0 ? 'everything' : 'server', after] as const,
  ]).flat(),
]

describe.skipIf(why !== undefined)(titled('life cycle', why), () => {
  let world: World
  let serial = 0
  const ready: Known[] = []
  const stopped: Known[] = []

  beforeAll(async () => {
    world = await openWorld()
  })
  afterAll(() => world.close())
  // What it said is all there is to find out why.
  afterEach(
    ({ task }) => void (task.result?.state === 'fail' && console.error(world.stack.up.said().slice(-6_000))),
  )

  /** Whose turn it is, and what to ask for. */
  async function next(part: Part): Promise<{ subject: () => Known; ask: () => Promise<void> }> {
    if (part === 'create') {
      let made: Known | undefined
      const ask = async () => {
        made = await world.create(`env-${++serial}`)
        ready.push(made)
      }
      return { subject: () => made as Known, ask }
    }
    if (part === 'start' && stopped.length === 0) {
      const { ask } = await next('stop')
      await ask()
      await world.settled()
    }
    const [from, to] = part === 'start' ? [stopped, ready] : [ready, stopped]
    const one = from.shift() as Known
    if (part !== 'delete') to.push(one)
    const ask = () =>
      part === 'delete' ? world.remove(one) : world.desire(one, part === 'stop' ? 'Stopped' : 'Running')
    return { subject: () => one, ask }
  }

  /** Afterwards all is as it should be, and what the environment held it holds. */
  async function check(part: Part, one: Known, epochBefore: number): Promise<void> {
    await world.settled()
    if (part === 'create') await world.mark(one)
    if (part !== 'create' && part !== 'start') return
    expect(one.epoch).toBeGreaterThan(epochBefore)
    await expectMarked(world, one)
  }

  for (const part of ['create', 'stop', 'start', 'delete'] as const) {
    describe(part, () => {
      test('passes the points that are listed here', async () => {
        const { subject, ask } = await next(part)
        const epochBefore = part === 'create' ? 0 : subject().epoch
        await world.failpoints.trace()
        await ask()
        await check(part, subject(), epochBefore)
        const passed = (await world.failpoints.trace()).filter(point => !point.startsWith('server.'))
        // Before a start, what is not there is removed as well.
        const own = passed.filter(point => !(part === 'create' || part === 'start') || !END.includes(point))
        expect([...new Set(own)]).toEqual(STEPS[part])
      })

      test.each(trials(part))('at %s, %s is killed (%i)', async (point, victim, after) => {
        const { subject, ask } = await next(part)
        const epochBefore = part === 'create' ? 0 : subject().epoch
        await world.strike(point, victim, ask, after)
        await check(part, subject(), epochBefore)
      })
    })
  }
})
