import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Decision } from './act.ts'
import type { EnvironmentTerms, Sense } from './governor.ts'
import type { EnvironmentSample } from './sample.ts'
import { type SuspendState, suspend } from './suspend.ts'

const MIB = 2 ** 20
const MINUTE = 60_000

interface Moment {
  readonly atMs: number
  /** Since the beginning. */
  readonly cpuMs?: number
  readonly kilobytes?: number
  readonly isFrozen?: boolean
  readonly terms?: Partial<EnvironmentTerms>
}

const senseOf = ({ atMs, cpuMs = 0, kilobytes = 0, isFrozen = false, terms }: Moment): Sense => {
  const sample: EnvironmentSample = {
    id: 'a',
    cpu: { usageUs: cpuMs * 1000, sessionUs: 0 },
    memory: { bytes: 340 * MIB, limitBytes: 4096 * MIB, oomKills: 0 },
    network: { receivedBytes: kilobytes * 1024, sentBytes: 0 },
    processes: 3,
    isFrozen,
  }
  const its = {
    ...{ id: 'a', name: 'a', cpuWeight: 100, memoryBytes: 4096 * MIB, guaranteedBytes: 1024 * MIB },
    ...{ connections: 0, suspendAfterMs: 10 * MINUTE },
    ...terms,
  }
  const memory = { totalBytes: 1, availableBytes: 1, swapTotalBytes: 0, swapFreeBytes: 0 }
  return {
    host: { atMs, cores: 2, busyUs: 0, memory, environments: new Map([['a', sample]]) },
    jobs: [],
    processes: [],
    looked: { jobs: new Set(), processes: new Set() },
    terms: new Map([['a', its]]),
  }
}

function play(moments: readonly Moment[], check: (moment: Moment, decisions: readonly Decision[]) => void) {
  let state = suspend.initial
  for (const moment of moments) {
    const decided = suspend.decide(state, senseOf(moment))
    state = JSON.parse(JSON.stringify(decided.state)) as SuspendState
    check(moment, decided.decisions)
  }
  return state
}

/** What was decided last. */
function last(...moments: Moment[]): string[] {
  let acts: string[] = []
  play(moments, (_moment, decisions) => {
    acts = decisions.map(({ act }) => (act.kind === 'freeze' ? `freeze ${act.frozen}` : act.kind))
  })
  return acts
}

const NEVER = { suspendAfterMs: undefined } as unknown as Partial<EnvironmentTerms>

/** A look every five seconds until `toMs`. */
const looks = (toMs: number, each: (atMs: number) => Partial<Moment> = () => ({})): Moment[] =>
  Array.from({ length: toMs / 5_000 + 1 }, (_, i) => ({ atMs: i * 5_000, ...each(i * 5_000) }))

test.each([
  ['nothing happens', looks(10 * MINUTE), ['freeze true']],
  ['not yet', looks(10 * MINUTE - 5_000), []],
  ['connected', looks(20 * MINUTE, () => ({ terms: { connections: 1 } })), []],
  [
    'a terminal left open',
    looks(10 * MINUTE, () => ({ terms: { connections: 1, terminals: 1 } })),
    ['freeze true'],
  ],
  ['a command beside it', looks(20 * MINUTE, () => ({ terms: { connections: 2, terminals: 1 } })), []],
  ['heard a minute ago', looks(10 * MINUTE, () => ({ terms: { heardMs: 9 * MINUTE } })), []],
  [
    'a language server that ticks (1 %)',
    looks(10 * MINUTE, atMs => ({ cpuMs: atMs / 100 })),
    ['freeze true'],
  ],
  ['a test run that is slow (4 %)', looks(20 * MINUTE, atMs => ({ cpuMs: atMs / 25 })), []],
  ['a burst now and then', looks(20 * MINUTE, atMs => ({ cpuMs: Math.floor(atMs / MINUTE) * 400 })), []],
  ['a server that is asked', looks(20 * MINUTE, atMs => ({ kilobytes: Math.floor(atMs / MINUTE) * 30 })), []],
  ['keepalives', looks(10 * MINUTE, atMs => ({ kilobytes: atMs / 30_000 })), ['freeze true']],
  ['its class is never suspended', looks(60 * MINUTE, () => ({ terms: NEVER })), []],
])('%s', (_what, moments, expected) => {
  expect(last(...moments)).toEqual(expected)
})

const frozen = (atMs: number, more: Partial<Moment> = {}): Moment => ({ atMs, isFrozen: true, ...more })
const suspended = looks(10 * MINUTE)

test.each([
  ['not before it is frozen', [...suspended, { atMs: 601_000 }], ['freeze true']],
  ['once it is', [...suspended, frozen(601_000)], ['freeze true', 'reclaim']],
  ['only once', [...suspended, frozen(601_000), frozen(602_000)], ['freeze true']],
])('its memory is pushed out: %s', (_what, moments, expected) => {
  expect(last(...moments)).toEqual(expected)
})

test.each([
  ['somebody connects', { terms: { connections: 1 } }],
  ['somebody types', { terms: { connections: 1, terminals: 1, heardMs: 600_500 } }],
  ['somebody was heard, and left again', { terms: { heardMs: 600_500 } }],
  ['its class changes', { terms: NEVER }],
  ['somebody else let it go', { isFrozen: false, atMs: 603_000 }],
  ['the clock went back', { atMs: 1_000 }],
])('it wakes when %s, and is left alone as long as before', (_what, more) => {
  const woken = { ...frozen(601_000), ...more }
  expect(last(...suspended, frozen(600_250), woken)).toEqual(['freeze false'])
  const soon = { ...woken, ...{ atMs: woken.atMs + 9 * MINUTE, isFrozen: false }, terms: {} }
  expect(last(...suspended, frozen(600_250), woken, soon)).toEqual([])
})

test('those that are gone are forgotten, and where nothing can be frozen nothing is decided', () => {
  const state = play(suspended, () => undefined)
  const gone = {
    ...senseOf({ atMs: 700_000 }),
    host: { ...senseOf({ atMs: 700_000 }).host, environments: new Map() },
  }
  expect(suspend.decide(state, gone)).toEqual({ state: { environments: {} }, decisions: [] })
})

test('nobody who is connected or was just heard is ever frozen, and no wake is followed by a freeze at once', () => {
  const moment = fc.record({
    passed: fc.integer({ min: 0, max: 5 * MINUTE }),
    cpuMs: fc.integer({ min: 0, max: 400 }),
    connections: fc.integer({ min: 0, max: 1 }),
    heard: fc.boolean(),
    isFrozen: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(moment, { maxLength: 60 }), moments => {
      let [atMs, cpuMs, heardMs] = [0, 0, 0]
      const worlds = moments.map(each => {
        atMs += each.passed
        cpuMs += each.cpuMs
        if (each.heard || each.connections > 0) heardMs = atMs
        return { atMs, cpuMs, isFrozen: each.isFrozen, terms: { connections: each.connections, heardMs } }
      })
      let wokenMs = -Infinity
      let wasFrozen = false
      play(worlds, (world, decisions) => {
        for (const { act } of decisions) {
          if (act.kind !== 'freeze') continue
          if (!act.frozen) wokenMs = world.atMs
          if (act.frozen && !wasFrozen) {
            expect(world.terms?.connections).toBe(0)
            expect(world.atMs - (world.terms?.heardMs ?? 0)).toBeGreaterThanOrEqual(10 * MINUTE)
            expect(world.atMs - wokenMs).toBeGreaterThanOrEqual(10 * MINUTE)
          }
          wasFrozen = act.frozen
        }
      })
    }),
  )
})
