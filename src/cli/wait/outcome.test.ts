import { describe, expect, test } from 'vitest'
import type { Condition } from '../../api/conditions.ts'
import { environmentSpecSchema, environmentStatusSchema } from '../../api/kinds/environment.ts'
import type { Metadata, Resource } from '../../api/resource.ts'
import { REASONS } from '../../lib/fault.ts'
import { awaitsUpload, outcome, type Wanted } from './outcome.ts'
import { reasonOf } from './verdict.ts'

const AT = '2026-01-01T00:00:00Z'

interface Sketch {
  readonly metadata?: Partial<Metadata>
  readonly spec?: object
  readonly status?: object
}

export function environment({ metadata, spec, status }: Sketch = {}): Resource<'Environment'> {
  return {
    apiVersion: 'bothy.dev/v1alpha1',
    kind: 'Environment',
    metadata: {
      name: 'calm-otter',
      namespace: 'default',
      uid: 'u1',
      resourceVersion: '7',
      generation: 2,
      creationTimestamp: AT,
      ...metadata,
    },
    spec: environmentSpecSchema.parse({ runner: 'here', ...spec }),
    status: environmentStatusSchema.parse({ observedGeneration: 2, ...status }),
  }
}

function condition(
  type: string,
  status: 'True' | 'False',
  reason: string,
  more: Partial<Condition> = {},
): Condition {
  return { type, status, reason, message: `${reason} it is`, lastTransitionTime: AT, ...more }
}

const ready = condition('Ready', 'True', 'SandboxRunning')
const notReady = (reason: string) => condition('Ready', 'False', reason)

describe('done', () => {
  test.each<[string, Wanted, Sketch | undefined]>([
    ['it runs and is ready', 'Running', { status: { phase: 'Running', conditions: [ready] } }],
    ['it is stopped', 'Stopped', { spec: { desired: 'Stopped' }, status: { phase: 'Stopped' } }],
    ['it is gone', 'Deleted', undefined],
  ])('%s', (_, wanted, sketch) => {
    expect(outcome(sketch && environment(sketch), wanted)).toEqual({ kind: 'done' })
  })
})

describe('going on', () => {
  test.each<[string, Wanted, Sketch, string]>([
    [
      'nobody has bound it',
      'Running',
      { spec: { runner: undefined }, status: { observedGeneration: 0 } },
      'waiting for a place',
    ],
    [
      'there is no runner, which can change, and what to do about it is said',
      'Running',
      {
        spec: { runner: undefined },
        status: {
          observedGeneration: 0,
          conditions: [condition('Scheduled', 'False', 'NoRunner', { hint: 'start one' })],
        },
      },
      'NoRunner it is (start one)',
    ],
    [
      'what is said of an older spec says nothing',
      'Running',
      { status: { observedGeneration: 1, phase: 'Failed', conditions: [notReady('RefNotFound')] } },
      'waiting for runner here',
    ],
    [
      'it still runs, stop was asked',
      'Stopped',
      {
        spec: { desired: 'Stopped' },
        status: { observedGeneration: 1, phase: 'Running', conditions: [ready] },
      },
      'waiting for runner here',
    ],
    [
      'a stage is under way',
      'Running',
      {
        status: {
          phase: 'Creating',
          stages: [
            { name: 'image', started: AT, ended: AT },
            { name: 'content', started: AT, message: '40 %' },
          ],
        },
      },
      'content: 40 %',
    ],
    [
      'no stage: what Ready says',
      'Running',
      { status: { phase: 'Starting', conditions: [notReady('SandboxEnded')] } },
      'SandboxEnded it is',
    ],
    ['phase Running without Ready is not there yet', 'Running', { status: { phase: 'Running' } }, 'Running'],
    [
      'its runner was lost',
      'Running',
      {
        status: {
          phase: 'Starting',
          conditions: [condition('RunnerReachable', 'False', 'RunnerUnreachable')],
        },
      },
      'RunnerUnreachable it is',
    ],
    [
      'deletion waits for finalizers',
      'Deleted',
      { metadata: { deletionTimestamp: AT, finalizers: ['bothy.dev/runner', 'example.com/x'] } },
      'being deleted; waiting for bothy.dev/runner, example.com/x',
    ],
    [
      'deletion waits for the runner',
      'Deleted',
      { spec: { runner: 'here' }, metadata: { deletionTimestamp: AT, finalizers: ['bothy.dev/runner'] } },
      'being deleted; waiting for runner here',
    ],
  ])('%s', (_, wanted, sketch, progress) => {
    expect(outcome(environment(sketch), wanted)).toEqual({ kind: 'going', progress })
  })
})

describe('failed', () => {
  test.each<[string, Wanted, Sketch | undefined, string, number]>([
    [
      'the part that failed says why, and the reason decides the exit code',
      'Running',
      {
        status: {
          phase: 'Failed',
          conditions: [
            notReady('RefNotFound'),
            condition('ImageReady', 'False', 'RegistryBusy', { message: 'of an earlier attempt' }),
            condition('ContentReady', 'False', 'RefNotFound', {
              message: "no branch 'x'",
              hint: 'check the name',
              fault: 'not_found',
            }),
          ],
        },
      },
      "start environment default/calm-otter: RefNotFound: no branch 'x'",
      REASONS.not_found.exit,
    ],
    [
      'a class that does not exist will not come by waiting',
      'Running',
      {
        spec: { runner: undefined },
        status: { observedGeneration: 0, conditions: [condition('Scheduled', 'False', 'ClassNotFound')] },
      },
      'start environment default/calm-otter: ClassNotFound: ClassNotFound it is',
      REASONS.not_found.exit,
    ],
    [
      'it failed and gave no reason',
      'Running',
      { status: { phase: 'Failed' } },
      'start environment default/calm-otter: it failed and gave no reason',
      REASONS.internal.exit,
    ],
    ['somebody deleted it', 'Running', undefined, 'wait: the environment is gone', REASONS.not_found.exit],
    [
      'somebody is deleting it',
      'Running',
      { metadata: { deletionTimestamp: AT } },
      'wait: the environment is gone',
      REASONS.not_found.exit,
    ],
    [
      'somebody asked for the opposite',
      'Running',
      { spec: { desired: 'Stopped' } },
      'wait for environment calm-otter: somebody has asked for Stopped meanwhile',
      REASONS.conflict.exit,
    ],
  ])('%s', (_, wanted, sketch, message, exit) => {
    const verdict = outcome(sketch && environment(sketch), wanted)
    if (verdict.kind !== 'failed') throw new Error(`is ${verdict.kind}`)
    expect({ message: verdict.fault.message, exit: REASONS[verdict.fault.reason].exit }).toEqual({
      message,
      exit,
    })
  })

  test('the hint is the condition’s own, and where to read more', () => {
    const conditions = [
      notReady('ImageNotFound'),
      condition('ImageReady', 'False', 'ImageNotFound', { hint: 'check the tag' }),
    ]
    const verdict = outcome(environment({ status: { phase: 'Failed', conditions } }), 'Running', 'create')
    expect(verdict.kind === 'failed' && verdict.fault.hint).toBe(
      'check the tag\n  more: bothy explain environment/calm-otter',
    )
  })
})

test('the files are sent when they are waited for, and at no other time', () => {
  const spec = { content: { upload: { directory: 'hello' } } }
  const waiting = { conditions: [condition('ContentReady', 'False', 'AwaitingUpload')] }
  expect(awaitsUpload(environment({ spec, status: waiting }))).toBe(true)
  expect(awaitsUpload(environment({ spec }))).toBe(false)
  expect(
    awaitsUpload(
      environment({ spec, status: { conditions: [condition('ContentReady', 'True', 'Received')] } }),
    ),
  ).toBe(false)
  expect(awaitsUpload(environment({ status: waiting }))).toBe(false)
  expect(awaitsUpload(environment({ spec, status: waiting, metadata: { deletionTimestamp: AT } }))).toBe(
    false,
  )
})

test.each([
  ['ClassNotFound', 'not_found'],
  ['RunnerUnreachable', 'unavailable'],
  ['RepositoryPrivate', 'forbidden'],
  ['ImageNoSpace', 'exhausted'],
  ['Unsupported', 'unsupported'],
  ['Stalled', 'timeout'],
  ['Whatever', 'internal'],
])('without a fault behind it, %s stands for %s', (reason, expected) => {
  expect(reasonOf({ reason })).toBe(expected)
  expect(reasonOf({ reason, fault: 'forbidden' })).toBe('forbidden')
  expect(reasonOf({ reason, fault: 'from a newer server' })).toBe(expected)
})
