import { expect, test } from 'vitest'
import type { Kind, Resource } from '../../api/resource.ts'
import { type Contents, planDeletion } from './plan.ts'

const object = (kind: Kind, name: string, finalizers?: readonly string[]): Resource =>
  ({
    kind,
    metadata: {
      name,
      ...(finalizers === undefined ? {} : { finalizers, deletionTimestamp: '2030-01-01T00:00:00Z' }),
    },
  }) as unknown as Resource
const contents = (...objects: readonly Resource[]): Contents =>
  new Map(Object.entries(Object.groupBy(objects, ({ kind }) => kind)) as [Kind, Resource[]][])

const RUNNER = ['bothy.dev/runner']
test.each<[string, Contents, string[], boolean]>([
  ['nothing is left', contents(), [], true],
  [
    'environments first',
    contents(
      object('Event', 'e'),
      object('Runner', 'r'),
      object('Environment', 'a'),
      object('Environment', 'b'),
    ),
    ['a', 'b'],
    false,
  ],
  [
    'nobody is asked twice',
    contents(object('Environment', 'a', RUNNER), object('Environment', 'b')),
    ['b'],
    false,
  ],
  [
    'all wait for the environments',
    contents(object('Environment', 'a', RUNNER), object('Runner', 'r'), object('Event', 'e')),
    [],
    false,
  ],
  [
    'then the others',
    contents(object('Runner', 'r'), object('EnvironmentClass', 'c'), object('Event', 'e')),
    ['c', 'r'],
    false,
  ],
  ['events last', contents(object('Event', 'e')), ['e'], false],
])('%s', (_, given, remove, isEmpty) => {
  const planned = planDeletion(given)
  expect(planned.remove.map(({ metadata }) => metadata.name).toSorted()).toEqual(remove)
  expect(planned.isEmpty).toBe(isEmpty)
})

test('says what holds it up, in the words that Kubernetes has for it', () => {
  const { verdicts } = planDeletion(
    contents(object('Environment', 'a', RUNNER), object('Environment', 'b', RUNNER), object('Runner', 'r')),
  )
  expect(verdicts).toMatchObject([
    {
      type: 'ContentRemaining',
      status: 'True',
      message:
        'Some resources are remaining: environments.bothy.dev has 2 resource instances, runners.bothy.dev has 1 resource instance',
    },
    {
      type: 'FinalizersRemaining',
      status: 'True',
      message:
        'Some content in the namespace has finalizers remaining: bothy.dev/runner in 2 resource instances',
      hint: expect.stringContaining('delete its Runner'),
    },
  ])
  expect(planDeletion(contents()).verdicts.map(({ status }) => status)).toEqual(['False', 'False'])
})
