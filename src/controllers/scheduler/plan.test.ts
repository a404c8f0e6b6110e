import { expect, test } from 'vitest'
import type { Condition } from '../../api/conditions.ts'
import type { Resource } from '../../api/resource.ts'
import type { Claim } from '../../core/governor/admission.ts'
import { plan } from './plan.ts'

const metadata = (name: string) => ({
  name,
  namespace: 'default',
  uid: name,
  resourceVersion: '1',
  generation: 1,
  creationTimestamp: '2030-01-01T00:00:00Z',
})
const environment = (spec: object = {}, more: object = {}) =>
  ({
    kind: 'Environment',
    metadata: { ...metadata('calm-otter'), ...more },
    spec: { desired: 'Running', class: 'small', content: { empty: {} }, env: {}, ...spec },
  }) as unknown as Resource<'Environment'>
const small = (spec: object = {}) =>
  ({
    kind: 'EnvironmentClass',
    metadata: metadata('small'),
    spec: { image: 'alpine', memory: '4Gi', disk: '20Gi', ...spec },
  }) as unknown as Resource<'EnvironmentClass'>
const ready = (status: Condition['status'], reason = 'Heartbeat'): Condition => ({
  type: 'Ready',
  status,
  reason,
  message: 'no /dev/loop',
  hint: 'modprobe loop',
  lastTransitionTime: '2030-01-01T00:00:00Z',
})
const runner = (name: string, conditions: Condition[] = [ready('True')], spec: object = {}) =>
  ({
    kind: 'Runner',
    metadata: metadata(name),
    spec: { cordoned: false, ...spec },
    status: { conditions },
  }) as unknown as Resource<'Runner'>

const strong = small({ isolation: 'gvisor' })
const able = (name: string, ...isolations: string[]) => {
  const bare = runner(name)
  return { ...bare, status: { ...bare.status, isolations } }
}
const cordoned = { cordoned: true }
const gpu = (...devices: string[]) => small({ devices })
const equipped = (name: string, ...devices: string[]) => {
  const bare = runner(name)
  return { ...bare, status: { ...bare.status, devices } }
}

// what                                          environment                       classes                        runners                                                     load         outcome
const TABLE: readonly (readonly [
  string,
  Resource<'Environment'>,
  Resource<'EnvironmentClass'>[],
  Resource<'Runner'>[],
  [string, number][],
  object,
])[] = [
  ['binds to the only runner', environment(), [small()], [runner('a')], [], { kind: 'bind', runner: 'a' }],
  [
    'goes where the devices are, however many others are there',
    environment(),
    [gpu('a.test/gpu=0', 'a.test/gpu=1')],
    [runner('a'), equipped('b', 'a.test/gpu=0'), equipped('c', 'a.test/gpu=0', 'a.test/gpu=1')],
    [['c', 9]],
    { kind: 'bind', runner: 'c' },
  ],
  [
    'says which device is missing where',
    environment(),
    [gpu('a.test/gpu=0', 'a.test/gpu=1')],
    [equipped('b', 'a.test/gpu=0'), runner('a')],
    [],
    {
      kind: 'wait',
      reason: 'DeviceAbsent',
      message:
        "class 'small' asks for devices: runner 'a' lacks a.test/gpu=0, a.test/gpu=1 and has none; runner 'b' lacks a.test/gpu=1 and has a.test/gpu=0",
      hint: expect.stringContaining('CDI'),
    },
  ],
  [
    'goes where its isolation is, however many others are there',
    environment(),
    [strong],
    [runner('a'), able('b', 'userns'), able('c', 'userns', 'gvisor')],
    [['c', 9]],
    { kind: 'bind', runner: 'c' },
  ],
  [
    'says which isolations there are where',
    environment(),
    [strong],
    [able('b', 'userns', 'vm'), runner('a')],
    [],
    {
      kind: 'wait',
      reason: 'IsolationAbsent',
      message:
        "class 'small' asks for isolation gvisor: runner 'a' can do userns; runner 'b' can do userns, vm",
      hint: expect.stringContaining('doctor'),
    },
  ],
  [
    'goes to a runner that does not say, with the isolation that all have',
    environment(),
    [small({ isolation: 'userns' })],
    [runner('a')],
    [],
    { kind: 'bind', runner: 'a' },
  ],
  [
    'asks for devices only where the isolation is',
    environment(),
    [small({ isolation: 'gvisor', devices: ['a.test/gpu=0'] })],
    [equipped('a', 'a.test/gpu=0'), able('b', 'gvisor')],
    [],
    {
      kind: 'wait',
      reason: 'DeviceAbsent',
      message: expect.stringContaining("runner 'b' lacks a.test/gpu=0"),
    },
  ],
  [
    'binds a stopped one too',
    environment({ desired: 'Stopped' }),
    [small()],
    [runner('a')],
    [],
    { kind: 'bind', runner: 'a' },
  ],
  [
    'prefers the one with fewer environments',
    environment(),
    [small()],
    [runner('a'), runner('b')],
    [
      ['a', 2],
      ['b', 1],
    ],
    { kind: 'bind', runner: 'b' },
  ],
  [
    'takes the first by name of equals',
    environment(),
    [small()],
    [runner('b'), runner('a')],
    [],
    { kind: 'bind', runner: 'a' },
  ],
  [
    'goes where the class says',
    environment(),
    [small({ runner: 'b' })],
    [runner('a'), runner('b')],
    [['b', 9]],
    { kind: 'bind', runner: 'b' },
  ],
  [
    'passes over a lost runner',
    environment(),
    [small()],
    [runner('a', [ready('False', 'Unreachable')]), runner('b')],
    [['b', 9]],
    { kind: 'bind', runner: 'b' },
  ],
  [
    'passes over a cordoned runner',
    environment(),
    [small()],
    [runner('a', undefined, cordoned), runner('b')],
    [],
    { kind: 'bind', runner: 'b' },
  ],
  [
    'leaves a bound one alone',
    environment({ runner: 'a' }),
    [small()],
    [runner('b')],
    [],
    { kind: 'nothing' },
  ],
  [
    'leaves a deleted one alone',
    environment({}, { deletionTimestamp: 'now' }),
    [small()],
    [runner('a')],
    [],
    { kind: 'nothing' },
  ],
  [
    'says that the class is missing',
    environment({ class: 'huge' }),
    [small()],
    [runner('a')],
    [],
    { kind: 'wait', reason: 'ClassNotFound', hint: 'use one of: small' },
  ],
  ['says that there is no runner', environment(), [small()], [], [], { kind: 'wait', reason: 'NoRunner' }],
  [
    "says that the class's runner is missing",
    environment(),
    [small({ runner: 'c' })],
    [runner('a')],
    [],
    { kind: 'wait', reason: 'RunnerNotFound' },
  ],
  [
    'says that all are cordoned',
    environment(),
    [small()],
    [runner('a', undefined, cordoned)],
    [],
    { kind: 'wait', reason: 'RunnerCordoned' },
  ],
  [
    'says that a runner is lost',
    environment(),
    [small()],
    [runner('a', [ready('False', 'Unreachable')])],
    [],
    { kind: 'wait', reason: 'RunnerUnreachable' },
  ],
  [
    'says that a runner was never seen',
    environment(),
    [small()],
    [runner('a', [])],
    [],
    { kind: 'wait', reason: 'RunnerUnreachable' },
  ],
  [
    'says what a runner lacks',
    environment(),
    [small()],
    [runner('a', [ready('False', 'DriverNotReady')])],
    [],
    {
      kind: 'wait',
      reason: 'RunnerNotReady',
      message: "runner 'a' cannot run environments: no /dev/loop",
      hint: 'modprobe loop',
    },
  ],
]

test.each(TABLE)('%s', (_what, subject, classes, runners, load, expected) => {
  const none: Claim = { memoryBytes: 0, diskBytes: 0 }
  const promised = new Map(load.map(([name, count]) => [name, Array<Claim>(count).fill(none)]))
  expect(plan(subject, { classes, runners, promised })).toMatchObject(expected)
})

const GIB = 2 ** 30
const sized = (name: string, memory: string, more: object = {}) => {
  const bare = runner(name)
  return { ...bare, status: { ...bare.status, capacity: { cores: 2, memory, memoryRatio: 1, ...more } } }
}
const claims = (...gibibytes: number[]): Claim[] =>
  gibibytes.map(each => ({ memoryBytes: each * GIB, diskBytes: 20 * GIB }))
const four = small({ memory: '4Gi', disk: '20Gi' })

// what                                   environment                          runners                                  promised                     outcome
const FULL: readonly (readonly [
  string,
  Resource<'Environment'>,
  Resource<'Runner'>[],
  [string, Claim[]][],
  object,
])[] = [
  ['binds where there is room', environment(), [sized('a', '2Gi')], [['a', claims(1)]], { runner: 'a' }],
  [
    'passes over one that is full, however few it has',
    environment(),
    [sized('a', '2Gi'), sized('b', '8Gi')],
    [
      ['a', claims(1.5)],
      ['b', claims(1, 1)],
    ],
    { runner: 'b' },
  ],
  [
    'takes what comes where nothing is told',
    environment(),
    [runner('a')],
    [['a', claims(90)]],
    { runner: 'a' },
  ],
  ['takes the first on the smallest host', environment(), [sized('a', '512Mi')], [], { runner: 'a' }],
  [
    'a stopped one needs no memory',
    environment({ desired: 'Stopped' }),
    [sized('a', '1Gi')],
    [['a', claims(1)]],
    { runner: 'a' },
  ],
  [
    'says that the only one is full',
    environment(),
    [sized('laptop', '15Gi')],
    [['laptop', claims(14.2)]],
    {
      kind: 'wait',
      reason: 'RunnerFull',
      message:
        'the runner is full: laptop: 14.2 of 15.0 GiB of memory are promised, 1.0 GiB more were asked for',
    },
  ],
  [
    'says what each of them lacks',
    environment(),
    [sized('b', '1Gi'), sized('a', '9Gi', { disk: '10Gi', diskRatio: 2 })],
    [
      ['a', claims(1)],
      ['b', claims(1)],
    ],
    {
      kind: 'wait',
      reason: 'RunnerFull',
      message:
        '2 of 2 runners are full: a: 20.0 of 20.0 GiB of disk are promised, 20.0 GiB more were asked for; ' +
        'b: 1.0 of 1.0 GiB of memory are promised, 1.0 GiB more were asked for',
    },
  ],
]

test.each(FULL)('%s', (_what, subject, runners, promised, expected) => {
  expect(plan(subject, { classes: [four], runners, promised: new Map(promised) })).toMatchObject(expected)
})
