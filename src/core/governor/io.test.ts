import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Act } from './act.ts'
import type { EnvironmentTerms, Sense } from './governor.ts'
import type { ResourceAbilities } from './host-resources.ts'
import { type IoState, io } from './io.ts'
import type { HostSample } from './sample.ts'

const MIB = 2 ** 20
const GIB = 2 ** 30

/** What goes on in an environment, for as long as it does. */
interface Doing {
  readonly read?: number
  readonly written?: number
  /** Share of the time that it waits. */
  readonly waits?: number
  /** Share of the time that its disk has something to do, and how long each thing takes, in milliseconds. */
  readonly busy?: number
  readonly eachMs?: number
}

interface Seen {
  readonly io: Act & { kind: 'io' }
  readonly why: string
}

/** A host on which things happen for `seconds`, looked at four times a second; what holds at the end. */
class Scene {
  #state: IoState = io.initial
  #host: HostSample = {
    atMs: 1_000,
    cores: 2,
    busyUs: 0,
    memory: { totalBytes: GIB, availableBytes: GIB, swapTotalBytes: 0, swapFreeBytes: 0 },
    pressure: { io: { someUs: 0, fullUs: 0 } },
    environments: new Map(),
  }
  readonly #terms: Map<string, EnvironmentTerms>
  readonly #abilities: ResourceAbilities | undefined
  /** Every set of limits that was decided, in order. */
  readonly told: string[] = []

  constructor(terms: Record<string, EnvironmentTerms['io']> = {}, abilities?: ResourceAbilities) {
    const termsOf = ([id, its]: [string, EnvironmentTerms['io']]) =>
      [id, { ...base, id, name: `env-${id}`, ...(its && { io: its }) }] as const
    this.#terms = new Map(Object.entries(terms).map(termsOf))
    this.#abilities = abilities
  }

  run(seconds: number, doing: Record<string, Doing>): Record<string, Seen> {
    let seen: Record<string, Seen> = {}
    for (let round = 0; round < seconds * 4; round++) seen = this.#round(doing)
    return seen
  }

  #round(doing: Record<string, Doing>): Record<string, Seen> {
    const before = this.#host
    const waits = Math.max(0, ...Object.values(doing).map(each => Math.max(each.waits ?? 0, each.busy ?? 0)))
    const environments = Object.entries(doing).map(([id, each]) => {
      const { read = 0, written = 0, waits: its = 0, busy = 0, eachMs = 0 } = each
      const was = before.environments.get(id)
      const sample = {
        id,
        cpu: { usageUs: 0, sessionUs: 0 },
        memory: { bytes: 0, limitBytes: GIB, oomKills: 0 },
        io: {
          readBytes: (was?.io?.readBytes ?? 0) + read / 4,
          writtenBytes: (was?.io?.writtenBytes ?? 0) + written / 4,
          busyUs: (was?.io?.busyUs ?? 0) + busy * 250_000,
          operations: (was?.io?.operations ?? 0) + 100,
          operationsUs: (was?.io?.operationsUs ?? 0) + 100 * eachMs * 1000,
        },
        pressure: { io: { someUs: (was?.pressure?.io?.someUs ?? 0) + its * 250_000, fullUs: 0 } },
        processes: 1,
        isFrozen: false,
      }
      return [id, sample] as const
    })
    this.#host = {
      ...before,
      atMs: before.atMs + 250,
      pressure: { io: { someUs: before.pressure!.io!.someUs + waits * 250_000, fullUs: 0 } },
      environments: new Map(environments),
    }
    const sense: Sense = {
      host: this.#host,
      jobs: [],
      processes: [],
      looked: { jobs: new Set(), processes: new Set() },
      terms: this.#terms,
      ...(this.#abilities && { abilities: this.#abilities }),
    }
    const decided = io.decide(this.#state, sense)
    // Data only: what a recording keeps is what is decided from.
    this.#state = JSON.parse(JSON.stringify(decided.state)) as IoState
    const acts = decided.decisions.map(({ act, why }) => [act.id, { io: act, why }] as const)
    const all = Object.fromEntries(acts) as Record<string, Seen>
    const told = JSON.stringify(acts.map(([id, each]) => [id, (each.io as Seen['io']).limits]))
    if (told !== this.told.at(-1)) this.told.push(told)
    return all
  }
}

const base = { cpuWeight: 100, memoryBytes: GIB, guaranteedBytes: GIB / 4, connections: 0 }
const hog: Doing = { written: 200 * MIB }
const starved: Doing = { read: 2 * MIB, waits: 0.5 }
const limitsOf = (seen: Record<string, Seen>, id: string) => seen[id]?.io.limits
const abilities: ResourceAbilities = {
  ...{ cpuWeights: true, cpuCeilings: true, pressure: true, freeze: true, reclaim: true },
  ...{ ioLimits: true, ioWeights: false, swap: 'none', holdKiller: false },
}

describe('nobody is held', () => {
  test.each<readonly [string, Record<string, Doing>]>([
    ['who is alone', { a: { written: 900 * MIB, waits: 0.9 } }],
    ['while nobody waits', { a: hog, b: { read: 2 * MIB } }],
    ['when whoever waits has its share', { a: hog, b: { written: 200 * MIB, waits: 0.8 } }],
    ['while the disk of who moves less is quick', { a: hog, b: { written: MIB, busy: 0.9, eachMs: 0.5 } }],
    ['who moves little, whoever waits', { a: { written: 3 * MIB }, b: { waits: 0.9 } }],
  ])('%s', (_what, doing) => {
    expect(new Scene().run(20, doing)).toEqual({})
  })

  test('on a host that cannot', () => {
    const scene = new Scene({}, { ...abilities, ioLimits: false })
    expect(scene.run(20, { a: hog, b: starved })).toEqual({})
  })
})

test('who moves more than its share while somebody waits is slowed down, and is told why', () => {
  const seen = new Scene({ a: undefined, b: undefined }).run(10, { a: hog, b: starved })
  expect(Object.keys(seen)).toEqual(['a'])
  expect(seen['a']?.why).toBe('moves 200 MiB/s while env-b waits for the disk')
  const { readBytesPerSecond = 0, writeBytesPerSecond = 0 } = limitsOf(seen, 'a') ?? {}
  // Seven tenths of what it moves, all of it writes; a quarter of that for reads.
  expect(writeBytesPerSecond / MIB).toBeCloseTo(140, -1)
  expect(readBytesPerSecond / writeBytesPerSecond).toBeCloseTo(0.25, 2)
})

test('who waits for a slow disk waits, though the kernel says otherwise of journals', () => {
  const seen = new Scene().run(10, { a: hog, b: { written: MIB, busy: 0.4, eachMs: 4 } })
  expect(Object.keys(seen)).toEqual(['a'])
})

test('step by step down to its share and no further, and let go when nobody waits', () => {
  const scene = new Scene({ a: undefined, b: undefined })
  let rate = 400 * MIB
  for (let step = 0; step < 20; step++) {
    const limits = limitsOf(scene.run(4, { a: { written: rate }, b: { written: 12 * MIB, waits: 0.6 } }), 'a')
    rate = Math.min(rate, limits?.writeBytesPerSecond ?? rate)
  }
  // Half of what the disks were seen to move; 1.2 times its share is borne.
  expect(rate).toBeGreaterThanOrEqual(206 * MIB)
  expect(rate).toBeLessThanOrEqual(1.2 * 206 * MIB)
  const calm = { a: { written: rate }, b: { written: 12 * MIB } }
  scene.run(30, calm)
  expect(limitsOf(scene.run(1, calm), 'a')).toEqual({})
  // And forgotten after a while.
  expect(scene.run(180, calm)).toEqual({})
})

test('who was let go too early is let go later', () => {
  const scene = new Scene({ a: undefined, b: undefined })
  const heldFor = () => {
    scene.run(8, { a: hog, b: starved })
    const calm = { a: { written: 20 * MIB }, b: {} }
    for (let seconds = 0; seconds < 300; seconds++)
      if (JSON.stringify(limitsOf(scene.run(1, calm), 'a')) === '{}') return seconds
    return Infinity
  }
  const [first, second] = [heldFor(), heldFor()]
  expect(first).toBeLessThan(20)
  expect(second).toBeGreaterThan(first)
})

test('what a class says holds always, and the less of two', () => {
  const own = { weight: 100, writeBytesPerSecond: 50 * MIB }
  const scene = new Scene({ a: own, b: undefined }, abilities)
  expect(limitsOf(scene.run(1, { a: {}, b: {} }), 'a')).toEqual({ writeBytesPerSecond: 50 * MIB })
  const held = limitsOf(scene.run(10, { a: { read: 200 * MIB, written: 49 * MIB }, b: starved }), 'a')
  expect(held?.writeBytesPerSecond).toBeLessThanOrEqual(50 * MIB)
  expect(held?.readBytesPerSecond).toBeLessThan(200 * MIB)
})

test('a weight is told where there are weights, and counts in shares everywhere', () => {
  const own = { weight: 400 }
  expect(new Scene({ a: own }, { ...abilities, ioWeights: true }).run(1, { a: {} })['a']?.io.limits).toEqual(
    own,
  )
  expect(new Scene({ a: own }, abilities).run(1, { a: {} })).toEqual({})
  // Four times the share of the other: it moves no more than that.
  const b = { read: 60 * MIB, waits: 0.5 }
  expect(new Scene({ a: own }).run(10, { a: { written: 240 * MIB }, b })['a']?.io.limits).toEqual(own)
})

test('what is gone is forgotten', () => {
  const scene = new Scene({ a: undefined, b: undefined })
  scene.run(10, { a: hog, b: starved })
  expect(scene.run(2, { b: starved })).toEqual({})
})

const anyDoing = fc.record({
  read: fc.integer({ min: 0, max: 500 }).map(each => each * MIB),
  written: fc.integer({ min: 0, max: 500 }).map(each => each * MIB),
  waits: fc.double({ min: 0, max: 1, noNaN: true }),
})
const anyDoings = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd', 'e'), anyDoing, { minKeys: 1 })

test('property: steady input comes to rest, and no limit is below the floor or a share', () => {
  fc.assert(
    fc.property(anyDoings, doing => {
      const scene = new Scene()
      const after = scene.run(60, doing)
      scene.told.length = 0
      expect(scene.run(30, doing)).toEqual(after)
      expect(scene.told.length).toBeLessThanOrEqual(1)
      const moved = Object.values(doing).map(each => (each.read ?? 0) + (each.written ?? 0))
      const active = moved.filter(each => each > 4 * MIB).length
      for (const { io: act } of Object.values(after)) {
        const { readBytesPerSecond = Infinity, writeBytesPerSecond = Infinity } = act.limits
        const all = readBytesPerSecond + writeBytesPerSecond
        expect(all).toBeGreaterThanOrEqual(16 * MIB - 2)
        const others = Object.keys(doing).length
        expect(all).toBeGreaterThanOrEqual((0.85 * moved.reduce((a, b) => a + b)) / Math.max(active, others))
      }
    }),
    { numRuns: 60 },
  )
})
