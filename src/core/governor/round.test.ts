import { expect, test } from 'vitest'
import { isCalm } from './round.ts'
import type { EnvironmentSample, HostSample } from './sample.ts'

const environment: EnvironmentSample = {
  ...{ id: 'e', cpu: { usageUs: 0, sessionUs: 0 }, processes: 1, isFrozen: false },
  memory: { bytes: 0, limitBytes: 1, oomKills: 0 },
}

function host(atMs: number, busyUs: number, more: Partial<EnvironmentSample> = {}): HostSample {
  const memory = { totalBytes: 1, availableBytes: 1, swapTotalBytes: 0, swapFreeBytes: 0 }
  return { atMs, cores: 2, busyUs, memory, environments: new Map([['e', { ...environment, ...more }]]) }
}

test.each([
  ['nobody uses anything', host(0, 0), host(250, 0), true],
  ['a fifth of two cores, for a quarter of a second', host(0, 0), host(250, 100_000), true],
  ['more than that', host(0, 0), host(250, 101_000), false],
  ['nothing to compare with', undefined, host(250, 0), false],
  ['a clock that went back', host(500, 0), host(250, 0), false],
  [
    'somebody who waits for memory uses nothing',
    host(0, 0),
    host(250, 0, { memory: { ...environment.memory, isStuck: true } }),
    false,
  ],
] as const)('%s', (_what, before, now, calm) => {
  expect(isCalm(before, now)).toBe(calm)
})
