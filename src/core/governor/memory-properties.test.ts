// What holds of the governor of memory whatever it is shown.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { GIB, MIB, processOf, senseOf, type World } from '../../../test/support/memory-world.ts'
import type { Act, Decision } from './act.ts'
import type { Sense } from './governor.ts'
import { type MemoryState, memory } from './memory.ts'
import type { ProcessSample } from './sample.ts'

describe('whatever happens', () => {
  const ids = ['a', 'b', 'c'] as const
  const environment = fc.record({
    bytes: fc.integer({ min: 0, max: 4096 }),
    isStuck: fc.boolean(),
    cpu: fc.integer({ min: 0, max: 500_000 }),
    connections: fc.integer({ min: 0, max: 1 }),
    isFrozen: fc.boolean(),
    work: fc.integer({ min: 0, max: 3000 }),
    session: fc.integer({ min: 0, max: 3000 }),
  })
  const moment = fc.record({
    passed: fc.integer({ min: -5_000, max: 20_000 }),
    available: fc.integer({ min: 0, max: 24 * 1024 }),
    environments: fc.dictionary(fc.constantFrom(...ids), environment),
  })

  type Moment = typeof moment extends fc.Arbitrary<infer T> ? T : never
  const play = (
    moments: readonly Moment[],
    check: (sense: Sense, decisions: readonly Decision[]) => void,
  ) => {
    let state = memory.initial
    let atMs = 100_000
    const cpu = new Map<string, number>()
    for (const { passed, available, environments } of moments) {
      atMs += passed
      const processes: ProcessSample[] = []
      const its: World['environments'] = {}
      for (const [id, each] of Object.entries(environments)) {
        cpu.set(id, (cpu.get(id) ?? 0) + each.cpu)
        its[id] = {
          memory: { bytes: each.bytes * MIB, ...(each.isStuck ? { isStuck: true } : {}) },
          cpuUs: cpu.get(id) ?? 0,
          isFrozen: each.isFrozen,
          terms: { connections: each.connections, memoryBytes: 2 * GIB },
        }
        processes.push(processOf(id, 'cc1plus', each.work * MIB, 'work', 10))
        processes.push(processOf(id, 'zsh', each.session * MIB, 'session', 11))
      }
      const sense = senseOf({ atMs, available: available * MIB, environments: its, processes })
      const decided = memory.decide(state, sense)
      check(sense, decided.decisions)
      state = JSON.parse(JSON.stringify(decided.state)) as MemoryState
      expect(Object.keys(state.environments).toSorted()).toEqual(Object.keys(its).toSorted())
      expect(Object.keys(state.pressed.frozen).every(id => id in its)).toBe(true)
    }
  }

  test('session goes only where work is not worth ending; nobody connected is frozen; ceilings hold', () => {
    fc.assert(
      fc.property(fc.array(moment, { maxLength: 30 }), moments => {
        play(moments, (sense, decisions) => {
          const { host, terms, processes } = sense
          for (const { act } of decisions) {
            expect(host.environments.has(act.id)).toBe(true)
            if (act.kind === 'kill') {
              const victim = processes.find(each => each.environment === act.id && each.pid === act.pid)
              const work = processes.find(each => each.environment === act.id && each.in === 'work')
              const taken = host.environments.get(act.id)?.memory.bytes ?? 0
              if (victim?.in === 'session') expect(work?.bytes ?? 0).toBeLessThan(Math.max(taken / 8, 1))
            }
            if (act.kind === 'memory') {
              const ceiling = terms.get(act.id)?.memoryBytes ?? 0
              expect(act.limitBytes).toBeGreaterThanOrEqual(ceiling)
              expect(act.limitBytes).toBeLessThanOrEqual(ceiling + 64 * MIB)
            }
          }
        })
      }),
    )
  })

  test('steady input is answered steadily: nothing is undone again and again', () => {
    fc.assert(
      fc.property(moment, still => {
        const undone: Act[] = []
        const kills: Act[] = []
        play(
          Array.from({ length: 400 }, (_, i) => ({
            ...still,
            environments: Object.fromEntries(
              Object.entries(still.environments).map(([id, each]) => [
                id,
                { ...each, isStuck: false, cpu: 0 },
              ]),
            ),
            passed: i === 0 ? 0 : 250,
          })),
          (_sense, decisions) => {
            for (const { act } of decisions) {
              if (act.kind === 'freeze' && !act.frozen) undone.push(act)
              if (act.kind === 'kill') kills.push(act)
            }
          },
        )
        // This input says whether they are frozen, whatever is done: who is seen not to be is let go, once a minute.
        expect(undone.length).toBeLessThanOrEqual(3 * 2)
        expect(kills.length).toBeLessThanOrEqual(100)
      }),
      { numRuns: 30 },
    )
  })
})
