import { expect, test } from 'vitest'
import type { Condition } from '../../api/conditions.ts'
import type { Resource } from '../../api/resource.ts'
import { judgeRunner, nextLookMs, planReachability } from './plan.ts'

const NOW = 1_000_000
const condition = (type: string, status: Condition['status'], reason: string): Condition => ({
  type,
  status,
  reason,
  message: 'why',
  lastTransitionTime: '2030-01-01T00:00:00Z',
})
const runner = (...conditions: Condition[]) =>
  ({ metadata: { name: 'here' }, status: { conditions } }) as unknown as Resource<'Runner'>

const seen = condition('Ready', 'True', 'Heartbeat')
const unseen = condition('Ready', 'False', 'NeverSeen')
const sick = condition('DriverReady', 'False', 'CheckFailed')
test.each([
  ['a fresh lease', runner(), 1_000, 900_000, { status: 'True', reason: 'Heartbeat' }],
  ['a lease of just under 30 s', runner(seen), 29_999, 900_000, { status: 'True' }],
  ['a lease of 30 s', runner(seen), 30_000, 900_000, { status: 'False', reason: 'Unreachable' }],
  ['an old lease, but we listen only since a moment', runner(seen), 500_000, 5_000, undefined],
  ['never a lease', runner(), undefined, 5_000, { status: 'False', reason: 'NeverSeen' }],
  [
    'never a lease, as was said',
    runner(unseen),
    undefined,
    900_000,
    { status: 'False', reason: 'NeverSeen' },
  ],
  [
    'a fresh lease and a driver that is not ready',
    runner(sick),
    1_000,
    900_000,
    { status: 'False', reason: 'DriverNotReady', message: 'why' },
  ],
] as const)('%s', (_what, subject, leaseAgeMs, listeningMs, expected) => {
  const verdict = judgeRunner(
    subject,
    leaseAgeMs === undefined ? undefined : NOW - leaseAgeMs,
    NOW,
    NOW - listeningMs,
  )
  if (expected === undefined) expect(verdict).toBeUndefined()
  else expect(verdict).toMatchObject({ type: 'Ready', ...expected })
})

test.each([
  [0, 30_000],
  [20_000, 10_000],
  [29_500, 1_000],
  [40_000, 1_000],
])('with a lease of %i ms the next look is in %i ms', (ageMs, expected) => {
  expect(nextLookMs(NOW - ageMs, NOW)).toBe(expected)
})

const environment = (spec: object, conditions: Condition[] = [], metadata: object = {}) =>
  ({ metadata, spec, status: { conditions } }) as unknown as Resource<'Environment'>
const lost = condition('RunnerReachable', 'False', 'RunnerUnreachable')
const deleted = condition('RunnerReachable', 'False', 'RunnerDeleted')
const deleting = { deletionTimestamp: 'now' }
test.each([
  ['not bound', environment({}), undefined, { kind: 'nothing' }],
  [
    'reachable, and nothing was ever said',
    environment({ runner: 'here' }),
    runner(seen),
    { kind: 'nothing' },
  ],
  [
    'reachable again',
    environment({ runner: 'here' }, [lost]),
    runner(seen),
    { kind: 'say', condition: { status: 'True' } },
  ],
  [
    'lost',
    environment({ runner: 'here' }),
    runner(condition('Ready', 'False', 'Unreachable')),
    { kind: 'say', condition: { status: 'False', reason: 'RunnerUnreachable' } },
  ],
  [
    'heard of, but its driver is not ready',
    environment({ runner: 'here' }),
    runner(condition('Ready', 'False', 'DriverNotReady')),
    { kind: 'nothing' },
  ],
  [
    'its runner was deleted',
    environment({ runner: 'here' }),
    undefined,
    { kind: 'say', condition: { reason: 'RunnerDeleted' } },
  ],
  [
    'being deleted, runner deleted: said first',
    environment({ runner: 'here' }, [], deleting),
    undefined,
    { kind: 'say' },
  ],
  [
    'being deleted, runner deleted, and said so',
    environment({ runner: 'here' }, [deleted], deleting),
    undefined,
    { kind: 'release' },
  ],
  [
    'being deleted while the runner is lost: waits',
    environment({ runner: 'here' }, [deleted], deleting),
    runner(condition('Ready', 'False', 'Unreachable')),
    { kind: 'say', condition: { reason: 'RunnerUnreachable' } },
  ],
])('%s', (_what, subject, itsRunner, expected) => {
  expect(planReachability(subject, itsRunner)).toMatchObject(expected)
})
