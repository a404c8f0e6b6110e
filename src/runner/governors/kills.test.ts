import { expect, test } from 'vitest'
import { environmentStatusSchema } from '../../api/kinds/environment.ts'
import type { EnvironmentSample, HostSample } from '../../core/governor/sample.ts'
import { createKernelKills, killed, killOf } from './kills.ts'

const GIB = 2 ** 30
const host = (...environments: (readonly [string, number, EnvironmentSample['memory']['lastShot']?])[]) =>
  ({
    environments: new Map(
      environments.map(([id, oomKills, lastShot]) => [
        id,
        { id, memory: { bytes: 0, limitBytes: 4 * GIB, oomKills, ...(lastShot && { lastShot }) } },
      ]),
    ),
  }) as unknown as HostSample

test('the kernel is known by its counters, from the second look on', () => {
  const kills = createKernelKills()
  const shot = { name: 'cc1plus', bytes: 1.25 * GIB }
  expect(kills(host(['a', 3]))).toEqual([])
  expect(kills(host(['a', 3], ['b', 0]))).toEqual([])
  expect(kills(host(['a', 4, shot], ['b', 2]))).toEqual([
    {
      ...{ id: 'a', by: 'kernel', process: 'cc1plus', bytes: 1.25 * GIB },
      note: 'the kernel killed cc1plus (1.3 GiB): the environment is at its ceiling of 4.0 GiB',
    },
    {
      ...{ id: 'b', by: 'kernel', process: undefined, bytes: undefined },
      note: 'the kernel killed a process and 1 more: the environment is at its ceiling of 4.0 GiB',
    },
  ])
  expect(kills(host(['a', 4, shot], ['b', 2]))).toEqual([])
  // A sandbox that was started again counts from the beginning.
  expect(kills(host(['a', 0]))).toEqual([])
  expect(kills(host(['a', 1]))).toHaveLength(1)
})

test('what a governor has killed is in the status as its schema has it', () => {
  const act = { kind: 'kill', id: 'a', pid: 7, startedTicks: 1, name: 'cc1plus', bytes: GIB } as const
  const kill = killOf({ governor: 'memory', act, why: `killed cc1plus (1.0 GiB): ${'x'.repeat(400)}` })
  if (kill === undefined) throw new Error('no kill')
  const status = killed(environmentStatusSchema.parse({}), kill, Date.UTC(2030, 0, 1))
  expect(environmentStatusSchema.parse(status).lastKill).toEqual({
    ...{ at: '2030-01-01T00:00:00Z', process: 'cc1plus', memory: '1Gi' },
    reason: expect.stringMatching(/^killed cc1plus \(1\.0 GiB\): x{200,}$/),
  })
  expect(
    killOf({ governor: 'memory', act: { kind: 'hold-killer', id: 'a', held: true }, why: '' }),
  ).toBeUndefined()
})
