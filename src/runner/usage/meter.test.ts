import { expect, test } from 'vitest'
import { usageReportSchema } from '../../api/usage.ts'
import type { EnvironmentSample, HostSample } from '../../core/governor/sample.ts'
import { describeAct } from './describe-act.ts'
import { type Acted, createMeter } from './meter.ts'

const A = '0198f2a1-0000-7000-8000-00000000000a'
const B = '0198f2a1-0000-7000-8000-00000000000b'
const MIB = 2 ** 20

/** An environment that has run for `seconds` with one core busy, half of it in `session`. */
const environment = (id: string, seconds: number, more: Partial<EnvironmentSample> = {}) => ({
  id,
  cpu: {
    usageUs: seconds * 1e6,
    sessionUs: seconds * 5e5,
    throttledUs: seconds * 3e6,
    throttledTimes: seconds * 10,
  },
  memory: { bytes: 100 * MIB, limitBytes: 1024 * MIB, oomKills: 0 },
  io: { readBytes: 0, writtenBytes: seconds * 4 * MIB },
  network: { receivedBytes: seconds * 1000, sentBytes: seconds * 10 },
  pressure: { cpu: { someUs: seconds * 250_000, fullUs: 0 } },
  processes: 7,
  isFrozen: false,
  ...more,
})

const host = (seconds: number, ...environments: readonly EnvironmentSample[]): HostSample => ({
  atMs: 5_000 + seconds * 1000,
  cores: 2,
  busyUs: seconds * 1.5e6,
  memory: {
    totalBytes: 8192 * MIB,
    availableBytes: 4096 * MIB,
    swapTotalBytes: 0,
    swapFreeBytes: 0,
  },
  pressure: { cpu: { someUs: seconds * 1e5, fullUs: 0 } },
  environments: new Map(environments.map(each => [each.id, each])),
})

const meterOf = (acts: readonly Acted[], ...samples: readonly HostSample[]) => {
  const meter = createMeter(() => acts)
  for (const sample of samples) meter.observe(sample)
  return meter
}

test('what is used is the difference over the latest two seconds', () => {
  const meter = meterOf([], ...[0, 1, 2, 3, 4].map(at => host(at, environment(A, at))))
  const report = meter.report()
  expect(report).toEqual({
    windowMs: 2000,
    host: {
      cores: 2,
      busyCores: 1.5,
      memory: host(0).memory,
      pressure: { cpu: 0.1 },
    },
    environments: [
      {
        uid: A,
        usage: {
          // Three processors' worth of waiting is still no more than all the time.
          cpu: { cores: 1, sessionCores: 0.5, throttled: 1, pressure: 0.25 },
          memory: { bytes: 100 * MIB, limitBytes: 1024 * MIB, oomKills: 0 },
          io: { readBytesPerSecond: 0, writtenBytesPerSecond: 4 * MIB },
          network: { receivedBytesPerSecond: 1000, sentBytesPerSecond: 10 },
          processes: 7,
          isFrozen: false,
        },
      },
    ],
  })
  expect(usageReportSchema.parse(report)).toEqual(report)
})

test('without a second sample nothing is known', () => {
  expect(meterOf([]).report()).toBeUndefined()
  expect(meterOf([], host(0)).report()).toBeUndefined()
})

const CORES: readonly (readonly [what: string, samples: readonly HostSample[], cores: readonly number[]])[] =
  [
    [
      'one that came is measured since it came',
      [host(0), host(1, environment(A, 0)), host(2, environment(A, 1))],
      [1],
    ],
    ['one that came just now used nothing yet', [host(0), host(1, environment(A, 9))], [0]],
    ['one that went is not told of', [host(0, environment(A, 0)), host(1)], []],
    [
      'one that was started anew begins at nothing',
      [host(0, environment(A, 60)), host(1, environment(A, 0.2))],
      [0],
    ],
    [
      'each for itself',
      [host(0, environment(A, 0), environment(B, 5)), host(2, environment(A, 1), environment(B, 9))],
      [0.5, 2],
    ],
    [
      'a clock that began anew forgets what was before it',
      [host(100, environment(A, 0)), host(0, environment(A, 1)), host(1, environment(A, 2))],
      [1],
    ],
    [
      'samples that come seldom make a longer window',
      [host(0, environment(A, 0)), host(10, environment(A, 5))],
      [0.5],
    ],
  ]
test.each(CORES)('%s', (_what, samples, cores) => {
  const report = meterOf([], ...samples).report()
  expect(report?.environments.map(each => each.usage.cpu.cores)).toEqual(cores)
})

test('what a run has used is known beyond its end, until another one begins', () => {
  const memory = (bytes: number) => ({ memory: { bytes, limitBytes: 9, oomKills: 0 } })
  const meter = meterOf(
    [],
    host(0, environment(A, 1, memory(5))),
    host(1, environment(A, 2, memory(3))),
    host(2),
  )
  expect(meter.spent(A)).toEqual({ cpuUs: 2e6, memoryPeakBytes: 5 })
  meter.observe(host(3, environment(A, 0.5, memory(1))))
  expect(meter.spent(A)).toEqual({ cpuUs: 5e5, memoryPeakBytes: 1 })
  meter.forget(A)
  expect(meter.spent(A)).toBeUndefined()
})

test('what nobody feels has the word only when there is nothing else', () => {
  const arranged: Acted = {
    governor: 'memory',
    act: { kind: 'hold-killer', id: A, held: true },
    why: 'x',
    atMs: 9,
  }
  const felt: Acted = { governor: 'cpu', act: { kind: 'cpu', id: A, limits: weights }, why: 'y', atMs: 1 }
  const nameOf = (...acts: Acted[]) =>
    meterOf(acts, host(0, environment(A, 0)), host(1, environment(A, 0))).report()?.environments[0]?.usage
      .governor?.name
  expect([nameOf(), nameOf(arranged), nameOf(felt, arranged)]).toEqual([undefined, 'memory', 'cpu'])
})

test('the governor that acted last has the word, in bounds', () => {
  const act = { kind: 'freeze', id: A, frozen: true, reason: 'idle' } as const
  const acts: Acted[] = [
    { governor: 'cpu', act: { kind: 'cpu', id: A, limits: weights }, why: 'quiet', atMs: 1_000 },
    { governor: 'suspend', act, why: 'idle '.repeat(1000), atMs: 2_000 },
    { governor: 'memory', act: { kind: 'reclaim', id: A, bytes: MIB }, why: 'short', atMs: 1_500 },
  ]
  const report = meterOf(acts, host(0, environment(A, 0)), host(1, environment(A, 0))).report()
  expect(usageReportSchema.parse(report).environments[0]?.usage.governor).toEqual({
    name: 'suspend',
    act: 'frozen',
    why: 'idle '.repeat(1000).slice(0, 300),
    at: '1970-01-01T00:00:02.000Z',
  })
})

const weights = { weight: 100, sessionWeight: 1000, workWeight: 100 }
test.each([
  [{ kind: 'cpu', id: A, limits: weights }, 'weight 100'],
  [
    { kind: 'cpu', id: A, limits: { ...weights, workCores: 0.6666, cores: 2 } },
    'weight 100, work at most 0.67 cores, at most 2 cores',
  ],
  [{ kind: 'io', id: A, limits: { writeBytesPerSecond: 10 * MIB } }, 'writes at most 10 MiB/s'],
  [{ kind: 'io', id: A, limits: {} }, 'no limit'],
  [{ kind: 'move', id: A, group: 5, startedTicks: 6, to: 'work' }, 'a job moved to work'],
  [{ kind: 'memory', id: A, protectedBytes: 64 * MIB }, '64 MiB protected'],
  [{ kind: 'freeze', id: A, frozen: false, reason: 'idle' }, 'thawed'],
  [{ kind: 'hold-killer', id: A, held: true }, "the kernel's killer held back"],
  [{ kind: 'kill', id: A, pid: 7, startedTicks: 1 }, 'process 7 killed'],
] as const)('says what was done: %j', (act, words) => {
  expect(describeAct(act)).toBe(words)
})
