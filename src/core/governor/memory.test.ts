import { describe, expect, test } from 'vitest'
import { GIB, MIB, processOf, senseOf, type World } from '../../../test/support/memory-world.ts'
import type { Act, Decision } from './act.ts'
import { type MemoryState, memory } from './memory.ts'
import type { ProcessSample } from './sample.ts'

/** Decides one world after another. */
function follow(...worlds: World[]): { decisions: readonly Decision[]; state: MemoryState } {
  let state = memory.initial
  let decisions: readonly Decision[] = []
  for (const world of worlds) {
    const decided = memory.decide(state, senseOf(world))
    // As a recording has it.
    state = JSON.parse(JSON.stringify(decided.state)) as MemoryState
    decisions = decided.decisions
  }
  return { decisions, state }
}
const actsOf = (decisions: readonly Decision[], kind: Act['kind']) =>
  decisions.map(({ act }) => act).filter(act => act.kind === kind)
const short = ({ kind, ...act }: Act) =>
  kind === 'kill' ? `kill ${'name' in act ? act.name : ''}` : `${kind} ${act.id}`
const news = (decisions: readonly Decision[]) =>
  decisions
    .map(({ act }) => act)
    .filter(act => act.kind !== 'memory' && act.kind !== 'hold-killer')
    .map(act => short(act))

describe('at its own ceiling', () => {
  const stuck = { memory: { bytes: GIB, isStuck: true } }
  const shell = processOf('a', 'bash', 9 * MIB, 'session')
  const server = processOf('a', 'tsserver', 600 * MIB, 'session')
  const compiler = processOf('a', 'cc1plus', 300 * MIB)
  const linker = processOf('a', 'ld', 80 * MIB)
  const init = processOf('a', 'catatonit', MIB)

  test('holds the killer back where it can be, and keeps the ceiling of the class', () => {
    const { decisions } = follow({ environments: { a: {} } })
    expect(decisions.map(({ act }) => act)).toEqual([
      { kind: 'memory', id: 'a', protectedBytes: GIB / 4, limitBytes: GIB },
      { kind: 'hold-killer', id: 'a', held: true },
    ])
    expect(actsOf(follow({ environments: { a: {} }, holdKiller: false }).decisions, 'hold-killer')).toEqual(
      [],
    )
  })

  test('lets the kernel shoot at once, work first, while somebody is at a prompt', () => {
    const { decisions } = follow({ environments: { a: { terms: { connections: 1 } } } })
    expect(actsOf(decisions, 'hold-killer')).toEqual([{ kind: 'hold-killer', id: 'a', held: false }])
  })

  test('leaves the killer to who divides its memory itself: containers have ceilings of their own', () => {
    const { decisions } = follow({ environments: { a: { memory: { isDivided: true } } } })
    expect(actsOf(decisions, 'hold-killer')).toEqual([{ kind: 'hold-killer', id: 'a', held: false }])
  })

  test('asks for a look at who is stuck, and at nobody else', () => {
    const { host, terms } = senseOf({ environments: { a: stuck, b: {} } })
    expect(memory.looks?.(memory.initial, host, terms)).toEqual({ processes: ['a'] })
  })

  test.each([
    ['the largest of work', [shell, server, compiler, linker], ['kill cc1plus']],
    [
      'nobody of session, while work holds something',
      [shell, server, linker, compiler, init],
      ['kill cc1plus'],
    ],
    ['the largest of session, when work is next to nothing', [shell, server, init], ['kill tsserver']],
    [
      'small ones, when there are only such',
      [init, shell].map(each => ({ ...each, in: 'work' as const })),
      [],
    ],
  ])('ends %s', (_what, processes, expected) => {
    const { decisions } = follow({ environments: { a: stuck }, processes })
    expect(news(decisions)).toEqual(expected)
  })

  test('lends some memory to who waits, says why, and takes it back', () => {
    const first = follow({ environments: { a: stuck }, processes: [compiler] })
    expect(actsOf(first.decisions, 'memory')).toMatchObject([{ limitBytes: GIB + 32 * MIB }])
    expect(first.decisions.find(({ act }) => act.kind === 'kill')).toMatchObject({
      act: { pid: compiler.pid, startedTicks: 7, name: 'cc1plus', bytes: 300 * MIB },
      why: 'killed cc1plus (300 MiB): the environment is at its ceiling of 1.0 GiB',
    })
    const killed: World = { environments: { a: stuck }, processes: [compiler] }
    const still: World = { atMs: 250, environments: { a: { memory: { bytes: GIB + MIB } } } }
    const over: World = { atMs: 500, environments: { a: { memory: { bytes: 700 * MIB } } } }
    expect(actsOf(follow(killed, still).decisions, 'memory')).toMatchObject([{ limitBytes: GIB + 32 * MIB }])
    expect(actsOf(follow(killed, still, over).decisions, 'memory')).toMatchObject([{ limitBytes: GIB }])
  })

  test('waits for the one that it has ended, then ends twice as much each time', () => {
    const bomb = Array.from({ length: 60 }, (_, i) => processOf('a', `bomb${i}`, 16 * MIB, 'work', 2000 + i))
    const world = (atMs: number): World => ({ atMs, environments: { a: stuck }, processes: bomb })
    const counts = [[0], [0, 250], [0, 500], [0, 500, 1000], [0, 500, 1000, 1500]].map(
      times => actsOf(follow(...times.map(world)).decisions, 'kill').length,
    )
    expect(counts).toEqual([1, 0, 2, 4, 8])
  })

  test('lets the kernel choose for a while when there is nobody to end', () => {
    const nobody: World = { environments: { a: stuck }, processes: [{ ...init, environment: 'b' }] }
    const seen = senseOf(nobody)
    const looked = { ...seen, looked: { jobs: new Set<string>(), processes: new Set(['a']) } }
    const first = memory.decide(memory.initial, looked)
    expect(actsOf(first.decisions, 'hold-killer')).toEqual([{ kind: 'hold-killer', id: 'a', held: false }])
    const later = memory.decide(first.state, senseOf({ atMs: 10_000, environments: { a: {} } }))
    expect(actsOf(later.decisions, 'hold-killer')).toEqual([{ kind: 'hold-killer', id: 'a', held: true }])
  })

  test('a ceiling that was lowered below what is taken is not forced, but pushed for', () => {
    const { decisions } = follow({ environments: { a: { memory: { bytes: 3 * GIB, limitBytes: 4 * GIB } } } })
    expect(actsOf(decisions, 'memory')).toEqual([])
    expect(actsOf(decisions, 'reclaim')).toEqual([{ kind: 'reclaim', id: 'a', bytes: 2 * GIB }])
  })
})

describe('when the memory of the host is short', () => {
  const idle = (bytes: number, more: object = {}) => ({ memory: { bytes }, ...more })
  const busy = (bytes: number, cpuUs: number, more: object = {}) => ({ memory: { bytes }, cpuUs, ...more })
  /** Long enough for the idle ones to be so. */
  const settle = (environments: World['environments']): World[] =>
    [0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000].map(atMs => ({ atMs, environments }))
  const at = (
    atMs: number,
    available: number,
    environments: World['environments'],
    processes: ProcessSample[] = [],
  ) => ({
    ...{ atMs, available, environments, processes },
  })

  test('nothing happens while there is plenty', () => {
    const environments = { a: idle(3 * GIB), b: busy(GIB, 0) }
    expect(news(follow(...settle(environments), at(61_000, 5 * GIB, environments)).decisions)).toEqual([])
  })

  test('low: the largest idle one is pushed out, one at a time, and not again at once', () => {
    const environments = { a: idle(GIB), b: idle(2 * GIB), c: idle(8 * MIB) }
    const then = (...times: number[]) =>
      news(follow(...settle(environments), ...times.map(atMs => at(atMs, 1.9 * GIB, environments))).decisions)
    expect(then(61_000)).toEqual(['reclaim b'])
    expect(then(61_000, 61_250)).toEqual([])
    expect(then(61_000, 62_000)).toEqual(['reclaim a'])
    expect(then(61_000, 62_000, 63_000, 64_000)).toEqual([])
  })

  test('who works, or is worked at, is left alone', () => {
    const environments = {
      a: idle(GIB, { terms: { connections: 1, heardMs: 60_000 } }),
      b: idle(GIB, { terms: { heardMs: 50_000 } }),
    }
    expect(news(follow(...settle(environments), at(61_000, 0.9 * GIB, environments)).decisions)).toEqual([])
    const working = (atMs: number) => ({ a: busy(GIB, atMs * 100) })
    const worlds = settle({}).map(({ atMs = 0 }) => at(atMs, 20 * GIB, working(atMs)))
    expect(news(follow(...worlds, at(61_000, 0.9 * GIB, working(61_000))).decisions)).toEqual([])
  })

  test('critical: the largest idle one is frozen, and let go when somebody comes or there is plenty', () => {
    const environments = { a: idle(GIB), b: idle(2 * GIB) }
    const before = [...settle(environments), at(61_000, 0.9 * GIB, environments)]
    expect(news(follow(...before).decisions)).toEqual(['reclaim b', 'freeze b'])
    const frozen = { ...environments, b: idle(GIB / 10, { isFrozen: true }) }
    const kept = follow(...before, at(61_250, 5 * GIB, frozen))
    expect(actsOf(kept.decisions, 'freeze')).toEqual([
      { kind: 'freeze', id: 'b', frozen: true, reason: 'memory' },
    ])
    const back = { ...frozen, b: idle(GIB / 10, { terms: { connections: 1, heardMs: 61_200 } }) }
    const woken = follow(...before, at(61_250, 0.9 * GIB, back))
    expect(actsOf(woken.decisions, 'freeze')).toMatchObject([{ id: 'b', frozen: false }])
    const plenty = follow(...before, at(61_250, 5 * GIB, frozen), at(91_250, 5 * GIB, frozen))
    expect(actsOf(plenty.decisions, 'freeze').at(-1)).toMatchObject({ id: 'b', frozen: false })
  })

  test('emergency: the largest process of the greediest is killed, when nobody is idle', () => {
    const connected = { terms: { connections: 1, heardMs: 60_000, memoryBytes: 8 * GIB } }
    const environments = { a: busy(5 * GIB, 0, connected), b: busy(6 * GIB, 0, connected) }
    const processes = [
      processOf('a', 'cc1plus', 4 * GIB),
      processOf('b', 'tsserver', 3 * GIB, 'session'),
      processOf('b', 'java', 2 * GIB),
    ]
    const sense = at(61_000, 200 * MIB, environments, processes)
    const { host, terms } = senseOf(sense)
    const { state } = follow(...settle(environments))
    expect(memory.looks?.(state, host, terms)).toEqual({ processes: ['b', 'a'] })
    const { decisions } = follow(...settle(environments), sense)
    expect(decisions.filter(({ act }) => act.kind === 'kill')).toMatchObject([
      {
        act: { id: 'b', name: 'java' },
        why: 'killed java (2.0 GiB): 200 MiB of 24.0 GiB left on the host, and the environment takes 6.0 GiB, most beyond its 256 MiB',
      },
    ])
  })

  test('nobody is killed who takes no more than was promised', () => {
    const environments = { a: busy(GIB, 0, { terms: { connections: 1, guaranteedBytes: GIB } }) }
    const processes = [processOf('a', 'cc1plus', GIB)]
    const world = (atMs: number) => at(atMs, 10 * MIB, environments, processes)
    expect(news(follow(world(0), world(2_000), world(4_000)).decisions)).toEqual([])
  })
})
