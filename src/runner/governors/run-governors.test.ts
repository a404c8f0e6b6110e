import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import { createSimulatedHost, type SimulatedHost } from '../../../test/support/simulated-host.ts'
import type { Decision } from '../../core/governor/act.ts'
import { cpu } from '../../core/governor/cpu.ts'
import type { Governor } from '../../core/governor/governor.ts'
import { jobs } from '../../core/governor/jobs.ts'
import { parseRecording, replay } from '../../core/governor/recording.ts'
import { silentLog } from '../../lib/log.ts'
import { createManualClock, type ManualClock } from '../../lib/manual-clock.ts'
import { createRecorder } from './recorder.ts'
import { createGovernors, type Governors, type GovernorsOptions } from './run-governors.ts'

const HOG = { session: 0, work: 4 }
const GOVERNORS = [jobs, cpu] as const

interface Running {
  readonly governors: Governors
  readonly acted: Decision[]
  /** So many rounds, in each of which a quarter of a second passes on the host. */
  rounds(count: number): Promise<void>
  stop(): Promise<void>
}

const stops: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

function run(host: SimulatedHost, more: Partial<GovernorsOptions> = {}): Running {
  const clock: ManualClock = createManualClock()
  const ending = new AbortController()
  const acted: Decision[] = []
  const governors = createGovernors({
    driver: { openResources: async () => host },
    governors: GOVERNORS,
    terms: () => new Map(),
    clock,
    log: silentLog,
    onActed: decision => void acted.push(decision),
    ...more,
  })
  const running = governors.run(ending.signal)
  const stop = async () => {
    ending.abort()
    await running
  }
  stops.push(stop)
  return {
    ...{ governors, acted, stop },
    async rounds(count) {
      for (let round = 0; round < count; round++) {
        host.pass(250)
        // Longer than any pause of the loop, and less than two.
        await clock.advance(250)
      }
    },
  }
}

function crowd(): SimulatedHost {
  const host = createSimulatedHost(2)
  for (let i = 0; i < 4; i++) host.set(`hog-${i}`, HOG)
  host.set('me', { session: 0.02, work: 0 })
  return host
}

test('hogs are held, only differences are acted upon, and usage says who did what and why', async () => {
  const host = crowd()
  const { rounds, governors } = run(host)
  await rounds(40)
  expect(host.limits('me').weight).toBe(10_000)
  expect(host.limits('hog-0').weight).toBe(100)
  host.acts.length = 0
  await rounds(480)
  // Once in a minute or two it is made to hold again, whatever somebody else has done meanwhile.
  const again = host.acts.filter(({ id }) => id === 'hog-0')
  expect(host.acts.length).toBeGreaterThanOrEqual(5)
  expect(again.length).toBeLessThanOrEqual(2)
  const usage = governors.usage()
  expect(usage.host?.environments.size).toBe(5)
  expect(usage.before?.atMs).toBeLessThan(usage.host?.atMs ?? 0)
  expect(usage.last.get('hog-0')).toEqual([
    expect.objectContaining({ governor: 'cpu', why: expect.stringMatching(/^its credit is spent/) }),
  ])
})

test('a host that has little to do is looked at half as often, until it has', async () => {
  const host = createSimulatedHost(2)
  host.set('me', { session: 0.02, work: 0 })
  let looks = 0
  const { rounds } = run(host, { onRound: () => void looks++ })
  await rounds(40)
  expect(looks).toBeLessThanOrEqual(24)
  host.set('hog', HOG)
  await rounds(4)
  looks = 0
  await rounds(40)
  expect(looks).toBeGreaterThanOrEqual(36)
})

test('an act that fails is done again in the next round', async () => {
  const host = crowd()
  const { rounds, acted } = run(host)
  host.failing = 3
  await rounds(1)
  expect(acted).toHaveLength(2)
  await rounds(2)
  expect(new Set(acted.map(({ act }) => act.id)).size).toBe(5)
})

test('a governor that fails stops no other, nor does a host that cannot be sensed for a while', async () => {
  const host = crowd()
  const broken: Governor<null> = {
    name: 'broken',
    initial: null,
    looks() {
      throw new Error('looks')
    },
    decide() {
      throw new Error('decides')
    },
  }
  const { sense } = host
  let blind = 0
  host.sense = async () => {
    if (blind-- > 0) throw new Error('no counters')
    return sense()
  }
  const { rounds } = run(host, { governors: [broken, ...GOVERNORS] })
  await rounds(20)
  blind = 2
  await rounds(40)
  expect(host.limits('hog-0').weight).toBe(100)
})

test('a job that computes is moved, wherever nobody looked before', async () => {
  const host = crowd()
  const { rounds, acted } = run(host)
  await rounds(8)
  host.job('me', 77, 2)
  await rounds(5)
  expect(acted.filter(({ act }) => act.kind === 'move')).toMatchObject([
    { act: { id: 'me', group: 77, to: 'work' }, why: expect.stringMatching(/^job \(77\) computes/) },
  ])
})

test('an environment that was started again is governed anew', async () => {
  const host = crowd()
  const { rounds } = run(host)
  await rounds(40)
  host.remove('hog-0')
  host.set('hog-0', HOG)
  expect(host.limits('hog-0').weight).toBe(100)
  host.acts.length = 0
  await rounds(1)
  expect(host.acts.map(({ id }) => id)).toContain('hog-0')
})

test('who is heard after a rest need not wait for the next round', async () => {
  const host = crowd()
  const typing: { typedMs?: number } = {}
  const known = {
    id: 'hog-0',
    name: 'hog-0',
    cpuWeight: 100,
    memoryBytes: 1,
    guaranteedBytes: 0,
    connections: 1,
  }
  const { rounds, governors } = run(host, {
    terms: () => new Map([['hog-0', { ...known, ...typing }]]),
  })
  await rounds(40)
  expect(host.limits('hog-0').weight).toBe(100)
  typing.typedMs = Number.MAX_SAFE_INTEGER
  host.pass(150)
  // As many as there are; the first that comes when the latest round is long enough ago counts.
  await vi.waitUntil(() => {
    governors.hurry()
    return host.limits('hog-0').weight === 10_000
  })
  expect(host.limits('hog-0').workCores).toBeCloseTo(1.98 / 4, 1)
})

test('at the end everything is undone, and acts under way have ended', async () => {
  const host = crowd()
  const { rounds, stop } = run(host)
  await rounds(40)
  expect(host.released).toBe(0)
  await stop()
  expect(host.released).toBe(1)
  expect(host.limits('hog-0').weight).toBe(host.limits('me').weight)
})

test('a driver without resources is not governed; one that fails to open them is asked again', async () => {
  const none = run(crowd(), { driver: { openResources: async () => undefined } })
  await none.rounds(2)
  expect(none.governors.usage().host).toBeUndefined()
  const host = crowd()
  let fails = 1
  const later = run(host, {
    driver: {
      openResources: async () => {
        if (fails-- > 0) throw new Error('not yet')
        return host
      },
    },
  })
  await later.rounds(16)
  expect(later.governors.usage().host).toBeDefined()
})

test('what was recorded is decided again as it was, from the first file and from any later one', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'bothy-recording-'))
  try {
    const host = crowd()
    const path = join(dir, 'governors.jsonl')
    const { rounds, stop } = run(host, { recorder: createRecorder(path, silentLog, 100_000) })
    await rounds(30)
    host.job('me', 77, 2)
    await rounds(60)
    await stop()
    for (const each of [path, `${path}.1`]) {
      const recording = parseRecording(readFileSync(each, 'utf8'))
      expect(recording.rounds.length).toBeGreaterThan(5)
      for (const { decisions, now } of replay(GOVERNORS, recording)) expect(now).toEqual(decisions)
    }
    const text = readFileSync(path, 'utf8')
    // Killed in the middle of a line.
    expect(parseRecording(text.slice(0, -20)).rounds.length).toBe(parseRecording(text).rounds.length - 1)
    expect(() => parseRecording('{}\n')).toThrow('no recording')
  } finally {
    rmSync(dir, { recursive: true })
  }
})
