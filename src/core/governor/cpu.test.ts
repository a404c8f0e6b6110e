import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createSimulatedHost, type SimulatedHost } from '../../../test/support/simulated-host.ts'
import type { CpuLimits } from './act.ts'
import { type CpuState, cpu } from './cpu.ts'
import type { EnvironmentTerms, Sense } from './governor.ts'
import type { HostSample } from './sample.ts'

const ROUND_MS = 250
const NOTHING = { session: 0, work: 0 }
const HOG = { session: 0, work: 4 }

const terms = (id: string, more: Partial<EnvironmentTerms> = {}): EnvironmentTerms => ({
  ...{ id, name: id, cpuWeight: 100, memoryBytes: 1e9, guaranteedBytes: 0, connections: 0 },
  ...more,
})

const senseOf = (host: HostSample, known: readonly EnvironmentTerms[] = []): Sense => ({
  ...{ host, jobs: [], processes: [], looked: { jobs: new Set(), processes: new Set() } },
  terms: new Map(known.map(each => [each.id, each])),
})

/** A host that the governor governs: each round a quarter of a second passes, and what was decided holds. */
function govern(
  host: SimulatedHost,
  known: readonly EnvironmentTerms[] | (() => readonly EnvironmentTerms[]) = [],
) {
  let state: CpuState = cpu.initial
  const classes = (id: string) => state.standings[id]?.class
  return {
    classes,
    state: () => state,
    async rounds(count: number, each: (limits: ReadonlyMap<string, CpuLimits>) => void = () => undefined) {
      for (let round = 0; round < count; round++) {
        host.pass(ROUND_MS)
        // As a recording keeps it: the state is data only.
        const decided = cpu.decide(
          JSON.parse(JSON.stringify(state)) as CpuState,
          senseOf(host.now(), typeof known === 'function' ? known() : known),
        )
        state = decided.state
        for (const { act } of decided.decisions) await host.act(act, new AbortController().signal)
        each(
          new Map(
            decided.decisions.flatMap(({ act }) =>
              act.kind === 'cpu' ? [[act.id, act.limits] as const] : [],
            ),
          ),
        )
      }
    },
  }
}

const hogs = (host: SimulatedHost, count: number) => {
  for (let i = 0; i < count; i++) host.set(`hog-${i}`, HOG)
}

describe.each([
  ['where the kernel says who waits', true],
  ['where it does not', false],
])('%s', (_name, pressure) => {
  test('hogs decay to equal parts of what is left, and a quiet one comes first', async () => {
    const host = createSimulatedHost(2, pressure)
    hogs(host, 16)
    host.set('me', { session: 0.02, work: 0 })
    const governed = govern(host)
    await governed.rounds(40)
    expect(governed.classes('me')).toBe('quiet')
    for (let i = 0; i < 16; i++) {
      expect(governed.classes(`hog-${i}`)).toBe('hog')
      expect(host.rate(`hog-${i}`).work).toBeCloseTo(1.98 / 16, 3)
    }
    expect(host.limits('me').weight).toBeGreaterThan(16 * host.limits('hog-0').weight * 10)
  })

  test('who was quiet gets several cores at once, then its share, and its session comes first all along', async () => {
    const host = createSimulatedHost(4, pressure)
    hogs(host, 16)
    host.set('me', { session: 0.02, work: 0 })
    const governed = govern(host, [
      terms('me', { typedMs: Number.MAX_SAFE_INTEGER, heardMs: Number.MAX_SAFE_INTEGER }),
    ])
    await governed.rounds(160)
    host.set('me', { session: 0.02, work: 8 })
    await governed.rounds(1)
    expect(host.rate('me').work).toBeGreaterThan(3.5)
    await governed.rounds(3)
    expect(governed.classes('me')).toBe('burst')
    expect(host.rate('me').work).toBeGreaterThan(3)
    await governed.rounds(60)
    expect(governed.classes('me')).toBe('metered')
    const { session, work } = host.rate('me')
    expect(session).toBeCloseTo(0.02)
    expect(session + work).toBeCloseTo(4 / 17, 1)
    expect(host.limits('me').weight).toBe(10_000)
    host.set('me', { session: 0.02, work: 0 })
    await governed.rounds(40)
    expect(governed.classes('me')).toBe('quiet')
    expect(host.limits('me').workCores).toBeUndefined()
  })

  test('steady input gives steady output', async () => {
    const part = fc.record({
      ...{ session: fc.constantFrom(0, 0.01, 0.3), work: fc.constantFrom(0, 0.2, 1, 4) },
      // Seconds since somebody typed, all along.
      typed: fc.constantFrom(undefined, 1, 20),
    })
    await fc.assert(
      fc.asyncProperty(
        fc.array(part, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 8 }),
        async (parts, cores) => {
          const host = createSimulatedHost(cores, pressure)
          parts.forEach((demand, i) => host.set(`e-${i}`, demand))
          const governed = govern(host, () =>
            parts.map(({ typed }, i) =>
              terms(`e-${i}`, typed === undefined ? {} : { typedMs: host.now().atMs - typed * 1000 }),
            ),
          )
          await governed.rounds(600)
          let changes = 0
          let before = ''
          await governed.rounds(80, limits => {
            const now = JSON.stringify([...limits])
            if (before !== '' && now !== before) changes += 1
            before = now
          })
          // Twenty seconds; a credit that comes back once, and what follows for the others, is no oscillation.
          expect(changes).toBeLessThanOrEqual(3)
        },
      ),
      { numRuns: 15 },
    )
  })
})

test('an idle host gives everything to whoever asks, for as long as it asks', async () => {
  const host = createSimulatedHost(4)
  host.set('me', { session: 0.1, work: 3 })
  host.set('other', NOTHING)
  const governed = govern(host)
  await governed.rounds(400, limits => {
    for (const each of limits.values()) expect([each.workCores, each.cores]).toEqual([undefined, undefined])
  })
  expect(host.rate('me').work).toBe(3)
})

test('one alone on a busy host is not metered, attended or not', async () => {
  const host = createSimulatedHost(2)
  host.set('me', { session: 0.1, work: 8 })
  host.set('other', { session: 0.01, work: 0 })
  const governed = govern(host, [terms('me', { typedMs: Number.MAX_SAFE_INTEGER })])
  await governed.rounds(200, limits => expect(limits.get('me')?.workCores).toBeUndefined())
  expect(governed.classes('me')).toBe('metered')
  expect(governed.classes('other')).toBe('quiet')
})

test('a ceiling holds although the host is idle, and whoever hits it is no hog for that', async () => {
  const host = createSimulatedHost(4)
  host.set('me', HOG)
  const governed = govern(host, [terms('me', { cores: 0.5 })])
  await governed.rounds(40)
  expect(host.rate('me').work).toBe(0.5)
  expect(host.limits('me').cores).toBe(0.5)
})

test('shares follow the weight of classes', async () => {
  const host = createSimulatedHost(3)
  host.set('one', HOG)
  host.set('two', HOG)
  await govern(host, [terms('one', { cpuWeight: 50 }), terms('two')]).rounds(80)
  expect(host.rate('two').work / host.rate('one').work).toBeCloseTo(2, 1)
})

test('who is merely connected is not metered: a build that somebody looks at gets all that the others leave', async () => {
  const host = createSimulatedHost(2)
  hogs(host, 4)
  const connected = Array.from({ length: 4 }, (_, i) => terms(`hog-${i}`, { connections: 1, heardMs: 1_000 }))
  await govern(host, connected).rounds(60, limits => {
    for (const { workCores } of limits.values()) expect(workCores).toBeUndefined()
  })
  expect([0, 1, 2, 3].reduce((sum, i) => sum + host.rate(`hog-${i}`).work, 0)).toBeCloseTo(2)
})

test('who takes more than its share in spite of the meter is a hog', async () => {
  const host = createSimulatedHost(2)
  hogs(host, 7)
  // All in its session, which is not metered.
  host.set('me', { session: 4, work: 0 })
  const governed = govern(host)
  await governed.rounds(120)
  expect(governed.classes('me')).toBe('hog')
  expect(host.rate('me').session).toBeCloseTo(2 / 8, 2)
})

test('while somebody types, answers that take more than a small share are answers, and no more than that', async () => {
  const host = createSimulatedHost(2)
  hogs(host, 16)
  host.set('me', { session: 0.2, work: 0 })
  host.set('other', { session: 0.2, work: 0 })
  const governed = govern(host, [
    terms('me', { typedMs: Number.MAX_SAFE_INTEGER, heardMs: Number.MAX_SAFE_INTEGER }),
  ])
  await governed.rounds(120)
  expect(governed.classes('me')).toBe('quiet')
  expect(host.rate('me').session).toBe(0.2)
  expect(governed.classes('other')).toBe('hog')
  // A build of its own gets the share beside them.
  host.set('me', { session: 0.2, work: 4 })
  await governed.rounds(120)
  expect(governed.classes('me')).toBe('metered')
  expect(host.limits('me').weight).toBe(10_000)
  expect(host.rate('me').session).toBe(0.2)
  expect(host.rate('me').work).toBeCloseTo(2 / 18, 1)
  // It all being session is too much.
  host.set('me', { session: 2, work: 0 })
  await governed.rounds(40)
  expect(governed.classes('me')).toBe('hog')
})

test('what a quiet environment waits for does not grow with the number of hogs', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 200 }), fc.boolean(), async (count, attended) => {
      const host = createSimulatedHost(2)
      hogs(host, count)
      host.set('me', { session: 0.001, work: 0 })
      const known = Array.from({ length: count }, (_, i) =>
        terms(
          `hog-${i}`, // Long enough ago that nobody types.
          attended ? { typedMs: -5_000 } : {},
        ),
      )
      let least = 1
      await govern(host, known).rounds(60, limits => {
        const others = [...limits].filter(([id]) => id !== 'me').map(([, { weight }]) => weight)
        const own = limits.get('me')?.weight ?? 0
        // The first round knows nobody yet.
        if (others.every(weight => weight < 10_000))
          least = Math.min(least, own / (own + others.reduce((sum, each) => sum + each, 0)))
      })
      expect(least).toBeGreaterThan(0.79)
    }),
    { numRuns: 15 },
  )
})

describe('bad conditions', () => {
  test.each<[string, (host: HostSample) => HostSample]>([
    ['a clock that goes back', host => ({ ...host, atMs: host.atMs - 3_600_000 })],
    ['a clock that leaps', host => ({ ...host, atMs: host.atMs + 3_600_000 })],
    ['counters of the host that go back', host => ({ ...host, busyUs: 0 })],
    [
      'counters of an environment that go back',
      host => {
        const environments = new Map(host.environments)
        const me = environments.get('me')
        if (me !== undefined) environments.set('me', { ...me, cpu: { usageUs: 0, sessionUs: 0 } })
        return { ...host, environments }
      },
    ],
    ['nobody there', host => ({ ...host, environments: new Map() })],
    ['the same moment again', host => host],
  ])('%s', async (_name, disturb) => {
    const host = createSimulatedHost(2)
    hogs(host, 3)
    host.set('me', { session: 0.02, work: 0 })
    const governed = govern(host)
    await governed.rounds(40)
    const disturbed = cpu.decide(governed.state(), senseOf(disturb(host.now())))
    for (const { act } of disturbed.decisions) {
      if (act.kind !== 'cpu') continue
      expect(act.limits.workCores).toBeUndefined()
      expect(act.limits.weight).toBeGreaterThanOrEqual(1)
      expect(act.limits.weight).toBeLessThanOrEqual(10_000)
    }
    // And on it goes, as before.
    host.pass(ROUND_MS)
    const next = cpu.decide(disturbed.state, senseOf(host.now()))
    expect(next.decisions.map(({ act }) => act.id).sort()).toEqual(['hog-0', 'hog-1', 'hog-2', 'me'])
    expect(JSON.stringify(next.state)).not.toMatch(/null/)
  })

  test('environments come and go; who is gone is forgotten', async () => {
    const host = createSimulatedHost(2)
    hogs(host, 3)
    const governed = govern(host)
    await governed.rounds(20)
    host.remove('hog-1')
    host.set('late', HOG)
    await governed.rounds(4)
    expect(Object.keys(governed.state().standings).sort()).toEqual(['hog-0', 'hog-2', 'late'])
    expect(Object.keys(governed.state().accounts.environments).sort()).toEqual(['hog-0', 'hog-2', 'late'])
  })

  test('any samples whatever: weights and quotas that the kernel takes', () => {
    const counter = fc.integer({ min: 0, max: 1e12 })
    const sample = fc.record({
      atMs: fc.integer({ min: 0, max: 1e9 }),
      busyUs: counter,
      environments: fc.uniqueArray(
        fc.record({
          id: fc.constantFrom('a', 'b', 'c', 'd'),
          cpu: fc.record({ usageUs: counter, sessionUs: counter, throttledUs: counter }),
          isFrozen: fc.boolean(),
        }),
        { selector: each => each.id },
      ),
    })
    fc.assert(
      fc.property(fc.array(sample, { maxLength: 12 }), samples => {
        let state = cpu.initial
        for (const { atMs, busyUs, environments } of samples) {
          const decided = cpu.decide(
            state,
            senseOf({
              ...{ atMs, busyUs, cores: 2 },
              memory: { totalBytes: 1, availableBytes: 1, swapTotalBytes: 0, swapFreeBytes: 0 },
              environments: new Map(
                environments.map(each => [
                  each.id,
                  { ...each, memory: { bytes: 0, limitBytes: 0, oomKills: 0 }, processes: 1 },
                ]),
              ),
            }),
          )
          state = decided.state
          for (const { act } of decided.decisions) {
            if (act.kind !== 'cpu') throw new Error(act.kind)
            const { weight, workCores = 1 } = act.limits
            expect(Number.isInteger(weight) && weight >= 1 && weight <= 10_000).toBe(true)
            expect(workCores >= 0.01 && workCores <= 2).toBe(true)
          }
        }
      }),
    )
  })
})
