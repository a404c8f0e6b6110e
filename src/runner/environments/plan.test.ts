import { expect, test } from 'vitest'
import type { EnvironmentPhase } from '../../api/kinds/environment.ts'
import type { Resource } from '../../api/resource.ts'
import { type Host, plan } from './plan.ts'

interface Case {
  phase?: EnvironmentPhase
  epoch?: number
  desired?: 'Running' | 'Stopped'
  /** The generation that status speaks of; the spec's is 2. */
  observed?: number
  deleted?: boolean
  finalizers?: string[]
  upload?: boolean
  host?: Partial<Host>
}

const NOW = 1_000_000
const environment = (it: Case) =>
  ({
    metadata: {
      generation: 2,
      finalizers: it.finalizers ?? ['bothy.dev/runner'],
      ...(it.deleted ? { deletionTimestamp: 'now' } : {}),
    },
    spec: {
      desired: it.desired ?? 'Running',
      content: it.upload ? { upload: { directory: 'app' } } : { empty: {} },
    },
    status: { phase: it.phase ?? 'Pending', epoch: it.epoch ?? 0, observedGeneration: it.observed ?? 2 },
  }) as unknown as Resource<'Environment'>
const pause = (ms: number, generation = 2) => ({ pause: { untilMs: NOW + ms, generation, why: 'busy' } })
const start = (epoch: number, ended = false) => ({ kind: 'start', epoch, ended })

const TABLE: readonly (readonly [string, Case, object])[] = [
  ['a new one is started, with its first epoch', { observed: 0 }, start(1)],
  ['killed while creating: goes on', { phase: 'Creating' }, start(1)],
  // P2: the epoch was written down, and perhaps used.
  ['killed between epoch and sandbox: the next epoch', { phase: 'Starting', epoch: 3 }, start(4)],
  [
    'killed between sandbox and report: reports',
    { phase: 'Starting', epoch: 3, host: { sandboxEpoch: 3 } },
    { kind: 'report-running' },
  ],
  ['runs, as asked', { phase: 'Running', epoch: 3, host: { sandboxEpoch: 3 } }, { kind: 'nothing' }],
  [
    'runs, and the spec changed in what needs no restart',
    { phase: 'Running', epoch: 3, observed: 1, host: { sandboxEpoch: 3 } },
    { kind: 'report-running' },
  ],
  // P1: the host says what runs, status does not.
  ['said to run, and does not', { phase: 'Running', epoch: 3 }, start(4, true)],
  [
    'said to be stopped, and runs',
    { phase: 'Stopped', desired: 'Stopped', epoch: 3, host: { sandboxEpoch: 3 } },
    { kind: 'stop' },
  ],
  [
    'a sandbox of an older epoch is replaced',
    { phase: 'Starting', epoch: 4, host: { sandboxEpoch: 3 } },
    start(5),
  ],
  [
    'a sandbox of a newer epoch than status knows is replaced too',
    { phase: 'Running', epoch: 2, host: { sandboxEpoch: 5 } },
    start(6, true),
  ],
  [
    'ended by itself, once too often: after a pause',
    { phase: 'Running', epoch: 3, host: pause(4_000) },
    { kind: 'report-ended', forMs: 4_000 },
  ],
  [
    'the pause goes on',
    { phase: 'Starting', epoch: 3, host: pause(3_000) },
    { kind: 'wait', forMs: 3_000, why: 'busy' },
  ],
  ['the pause is over', { phase: 'Starting', epoch: 3, host: pause(0) }, start(4)],
  [
    'a pause for an older spec does not count',
    { phase: 'Starting', epoch: 3, host: pause(9_000, 1) },
    start(4),
  ],
  // P4
  ['failed stays failed', { phase: 'Failed' }, { kind: 'nothing' }],
  ['failed, and somebody changed it', { phase: 'Failed', observed: 1, epoch: 1 }, start(2)],
  [
    'failed, but its sandbox runs after all',
    { phase: 'Failed', epoch: 3, host: { sandboxEpoch: 3 } },
    { kind: 'report-running' },
  ],
  [
    'failed, and is to be stopped',
    { phase: 'Failed', desired: 'Stopped', observed: 1 },
    { kind: 'report-stopped' },
  ],
  ['waits for its upload', { upload: true }, { kind: 'await-upload' }],
  ['its upload has come', { upload: true, host: { uploaded: true } }, start(1)],
  // P3
  [
    'its upload was used long ago',
    { upload: true, phase: 'Stopped', epoch: 1, observed: 1, host: { contentDone: true } },
    start(2),
  ],
  ['is to be stopped before it ever ran', { desired: 'Stopped', observed: 0 }, { kind: 'report-stopped' }],
  ['stops', { phase: 'Running', desired: 'Stopped', epoch: 1, host: { sandboxEpoch: 1 } }, { kind: 'stop' }],
  [
    'killed while stopping, sandbox there',
    { phase: 'Stopping', desired: 'Stopped', epoch: 1, host: { sandboxEpoch: 1 } },
    { kind: 'stop' },
  ],
  [
    'killed while stopping, sandbox gone',
    { phase: 'Stopping', desired: 'Stopped', epoch: 1 },
    { kind: 'report-stopped' },
  ],
  ['stopped, as asked', { phase: 'Stopped', desired: 'Stopped', epoch: 1 }, { kind: 'nothing' }],
  ['started again', { phase: 'Stopped', epoch: 1, observed: 1 }, start(2)],
  [
    'deleted while it runs',
    { phase: 'Running', epoch: 1, deleted: true, host: { sandboxEpoch: 1 } },
    { kind: 'destroy' },
  ],
  ['deleted before it came to anything', { deleted: true }, { kind: 'destroy' }],
  ['killed while deleting', { phase: 'Deleting', epoch: 1, deleted: true }, { kind: 'destroy' }],
  [
    "deleted, and waits for others' finalizers",
    { deleted: true, finalizers: ['example.com/other'] },
    { kind: 'nothing' },
  ],
]

test.each(TABLE)('%s', (_what, it, expected) => {
  const host: Host = { sandboxEpoch: undefined, contentDone: false, uploaded: false, nowMs: NOW, ...it.host }
  expect(plan(environment(it), host)).toMatchObject(expected)
})
