import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createSimulatedHost, type SimulatedHost } from '../../../test/support/simulated-host.ts'
import type { Act } from './act.ts'
import type { Sense } from './governor.ts'
import { type JobsState, jobs } from './jobs.ts'
import type { HostSample, JobSample } from './sample.ts'

const ROUND_MS = 250

type Move = Extract<Act, { kind: 'move' }>

async function senseOf(host: SimulatedHost, state: JobsState): Promise<Sense> {
  const sample: HostSample = host.now()
  const wanted = jobs.looks?.(state, sample, new Map()).jobs ?? []
  const found: JobSample[] = []
  for (const id of wanted) found.push(...(await host.jobs(id)))
  return {
    host: sample,
    jobs: found,
    processes: [],
    looked: { jobs: new Set(wanted), processes: new Set() },
    terms: new Map(),
  }
}

function govern(host: SimulatedHost) {
  let state: JobsState = jobs.initial
  let looks = 0
  return {
    looks: () => looks,
    state: () => state,
    /** So many rounds; what was moved in them. */
    async rounds(count: number): Promise<readonly Move[]> {
      const moves: Move[] = []
      looks = 0
      for (let round = 0; round < count; round++) {
        host.pass(ROUND_MS)
        const sense = await senseOf(host, state)
        looks += sense.looked.jobs.size
        const decided = jobs.decide(JSON.parse(JSON.stringify(state)) as JobsState, sense)
        state = decided.state
        for (const { act } of decided.decisions) {
          await host.act(act, new AbortController().signal)
          if (act.kind === 'move') moves.push(act)
        }
      }
      return moves
    },
  }
}

function machine(cores = 4): SimulatedHost {
  const host = createSimulatedHost(cores)
  host.set('me', { session: 0, work: 0 })
  return host
}

test('a build is work within two rounds, and back when it has calmed down for three seconds', async () => {
  const host = machine()
  host.job('me', 10, 0.01)
  const governed = govern(host)
  await governed.rounds(8)
  host.job('me', 20, 3)
  expect(await governed.rounds(2)).toMatchObject([{ group: 20, to: 'work' }])
  expect(await governed.rounds(40)).toEqual([])
  host.job('me', 20, 0)
  expect(await governed.rounds(11)).toEqual([])
  expect(await governed.rounds(8)).toMatchObject([{ group: 20, to: 'session' }])
  // And nobody looks any more.
  await governed.rounds(8)
  expect(await governed.rounds(20)).toEqual([])
  expect(governed.looks()).toBe(0)
})

test('one core is heavy after two rounds, an answer of a quarter of a second is not', async () => {
  const host = machine()
  const governed = govern(host)
  await governed.rounds(4)
  host.job('me', 10, 1)
  expect(await governed.rounds(1)).toEqual([])
  host.job('me', 10, 0)
  expect(await governed.rounds(2)).toEqual([])
  host.job('me', 10, 0.8)
  expect(await governed.rounds(3)).toMatchObject([{ group: 10, to: 'work' }])
})

test('the shell beside a build stays', async () => {
  const host = machine()
  host.job('me', 10, 0.05)
  host.job('me', 20, 2)
  const moves = await govern(host).rounds(40)
  expect(moves.map(({ group }) => group)).toEqual([20])
})

test('who goes to and fro has to be calm for longer and longer', async () => {
  const host = machine()
  const governed = govern(host)
  await governed.rounds(4)
  const rests: number[] = []
  for (let turn = 0; turn < 7; turn++) {
    host.job('me', 10, 2)
    expect(await governed.rounds(4)).toMatchObject([{ to: 'work' }])
    host.job('me', 10, 0)
    let rounds = 0
    for (; (await governed.rounds(1)).length === 0; rounds++) expect(rounds).toBeLessThan(400)
    rests.push(Math.round((rounds * ROUND_MS) / 1000))
  }
  expect(rests.every((each, at) => at === 0 || each >= (rests[at - 1] as number))).toBe(true)
  expect(rests[0]).toBeLessThanOrEqual(4)
  expect(rests.at(-1)).toBeGreaterThanOrEqual(59)
  expect(rests.at(-1)).toBeLessThanOrEqual(63)
})

test('a build that its quota holds up has not calmed down', async () => {
  const host = machine()
  host.job('me', 10, 2)
  const governed = govern(host)
  expect(await governed.rounds(4)).toMatchObject([{ to: 'work' }])
  const limits = { weight: 100, sessionWeight: 10_000, workWeight: 100, workCores: 0.05 }
  await host.act({ kind: 'cpu', id: 'me', limits }, new AbortController().signal)
  expect(await governed.rounds(200)).toEqual([])
})

test('beside many nobody gets much: what never rests and has most of its session is work', async () => {
  const host = createSimulatedHost(2)
  for (let i = 0; i < 16; i++) {
    host.set(`e-${i}`, { session: 0, work: 0 })
    host.job(`e-${i}`, 10, 0.02)
    host.job(`e-${i}`, 20, 4)
  }
  const moves = await govern(host).rounds(24)
  expect(moves.map(({ group }) => group)).toEqual(Array.from({ length: 16 }, () => 20))
})

test('what was taken for a build comes back from beside one, though both are held up', async () => {
  const host = machine()
  host.job('me', 10, 2)
  host.job('me', 20, 0.9)
  const governed = govern(host)
  expect(new Set((await governed.rounds(8)).map(({ group }) => group))).toEqual(new Set([10, 20]))
  const limits = { weight: 100, sessionWeight: 10_000, workWeight: 100, workCores: 0.1 }
  await host.act({ kind: 'cpu', id: 'me', limits }, new AbortController().signal)
  // Of its quota a quarter, and never at rest.
  host.job('me', 20, 0.5)
  const [back] = await governed.rounds(20)
  expect(back).toMatchObject({ group: 20, to: 'session' })
})

test('what was never part of the session is not brought there', async () => {
  const host = machine()
  host.job('me', 10, 2, 'work')
  const governed = govern(host)
  expect(await governed.rounds(8)).toEqual([])
  host.job('me', 10, 0, 'work')
  expect(await governed.rounds(60)).toEqual([])
})

test('a number that is given again is another job', async () => {
  const host = machine()
  host.job('me', 10, 2)
  const governed = govern(host)
  await governed.rounds(4)
  host.endJob('me', 10)
  host.job('me', 10, 0.05)
  expect(await governed.rounds(40)).toEqual([])
  const known = Object.keys(governed.state().environments.me?.jobs ?? {})
  expect(known).toEqual([expect.stringMatching(/^10\/(?!100$)/)])
})

test('a runner that starts finds what another has moved', async () => {
  const host = machine()
  host.job('me', 10, 2)
  await govern(host).rounds(4)
  host.job('me', 10, 0)
  expect(await govern(host).rounds(20)).toMatchObject([{ group: 10, to: 'session' }])
})

test('quiet environments are looked at once', async () => {
  const host = createSimulatedHost(4)
  for (let i = 0; i < 100; i++) {
    host.set(`e-${i}`, { session: 0.001, work: 0 })
    host.job(`e-${i}`, 10, 0.001)
  }
  const governed = govern(host)
  await governed.rounds(1)
  await governed.rounds(40)
  expect(governed.looks()).toBe(0)
})

test('of a fork bomb no more is followed, and moved, than is good', async () => {
  const host = machine()
  for (let group = 1; group <= 5_000; group++) host.job('me', group, group > 4_000 ? 2 : 0)
  const governed = govern(host)
  await governed.rounds(1)
  const sinceMs = performance.now()
  const moves = await governed.rounds(4)
  expect(performance.now() - sinceMs).toBeLessThan(2_000)
  expect(moves.length).toBeLessThanOrEqual(4 * 16)
  expect(Object.keys(governed.state().environments.me?.jobs ?? {}).length).toBeLessThanOrEqual(256)
})

test('whatever the samples are, only what is there is moved, and only to where it is not', () => {
  const job = fc.record({
    environment: fc.constantFrom('a', 'b'),
    group: fc.integer({ min: 1, max: 3 }),
    startedTicks: fc.integer({ min: 1, max: 2 }),
    pids: fc.constant([1]),
    runnable: fc.nat({ max: 3 }),
    cpuUs: fc.integer({ min: 0, max: 1e7 }),
    in: fc.constantFrom('session' as const, 'work' as const),
    isFromSession: fc.boolean(),
    name: fc.constant('x'),
  })
  const round = fc.record({
    atMs: fc.integer({ min: 0, max: 1e5 }),
    jobs: fc.uniqueArray(job, { selector: each => `${each.environment}/${each.group}/${each.startedTicks}` }),
    sessionUs: fc.nat(),
  })
  fc.assert(
    fc.property(fc.array(round, { maxLength: 10 }), rounds => {
      let state = jobs.initial
      for (const each of rounds) {
        const sample = createSimulatedHost(2)
        sample.set('a', { session: 0, work: 0 })
        const host = { ...sample.now(), atMs: each.atMs }
        const looked = new Set(['a'])
        const own = each.jobs.filter(({ environment }) => environment === 'a')
        const decided = jobs.decide(state, {
          ...{ host, jobs: own, processes: [], terms: new Map() },
          looked: { jobs: looked, processes: new Set() },
        })
        state = decided.state
        for (const { act } of decided.decisions) {
          const found = own.find(
            ({ group, startedTicks }) =>
              act.kind === 'move' && group === act.group && startedTicks === act.startedTicks,
          )
          expect(found).toBeDefined()
          if (act.kind !== 'move') throw new Error(act.kind)
          expect(found?.in).not.toBe(act.to)
          if (act.to === 'session') expect(found?.isFromSession).toBe(true)
        }
        expect(Object.keys(state.environments)).toEqual(['a'])
      }
    }),
  )
})
