import { expect, test } from 'vitest'
import type { OwnerReference } from '../../api/resource.ts'
import { type Node, OwnershipGraph, ownerKey } from './ownership.ts'
import { type OwnerState, plan, type Step } from './plan.ts'

const reference = (name: string, more: Partial<OwnerReference> = {}): OwnerReference => ({
  ...{ apiVersion: 'bothy.dev/v1alpha1', kind: 'Environment', name, uid: `uid-${name}` },
  ...more,
})
const blocks = (name: string) => reference(name, { blockOwnerDeletion: true })
const node = (
  name: string,
  owners: readonly OwnerReference[] = [],
  finalizers?: readonly string[],
): Node => ({
  key: { kind: 'Environment', namespace: 'default', name },
  uid: `uid-${name}`,
  owners,
  isDeleting: finalizers !== undefined,
  finalizers: finalizers ?? [],
})
const keys = (...names: string[]) => names.map(name => node(name).key)
const FOREGROUND = ['foregroundDeletion']
const to = (...names: string[]) => names.map(name => reference(name))

type Known = readonly Node[]
type Without<S> = S extends unknown ? Omit<S, 'why'> : never
type Expected = Without<Step>
type States = Readonly<Record<string, OwnerState>>
test.each<[string, Node, Known, States, Expected]>([
  // what, item, what else is known, states of its owners, step
  ['nobody owns it', node('x'), [], {}, { do: 'nothing' }],
  ['its owner is there', node('x', to('a')), [], { a: 'there' }, { do: 'nothing' }],
  ['its owner is gone', node('x', to('a')), [], { a: 'gone' }, { do: 'remove' }],
  ['all of them', node('x', to('a', 'b')), [], { a: 'gone', b: 'gone' }, { do: 'remove' }],
  [
    'one is left',
    node('x', to('a', 'b')),
    [],
    { a: 'gone', b: 'there' },
    { do: 'drop-references', uids: ['uid-a'] },
  ],
  [
    'one waits, one is left',
    node('x', to('a', 'b')),
    [],
    { a: 'waiting', b: 'there' },
    { do: 'drop-references', uids: ['uid-a'] },
  ],
  ['its owner waits for it', node('x', to('a')), [], { a: 'waiting' }, { do: 'remove' }],
  [
    'and it has dependents',
    node('x', to('a')),
    [node('y', to('x'))],
    { a: 'waiting' },
    { do: 'remove', propagation: 'Foreground' },
  ],
  [
    'its owner is gone, and it has dependents',
    node('x', to('a')),
    [node('y', to('x'))],
    { a: 'gone' },
    { do: 'remove' },
  ],
  ['it is being deleted', node('x', to('a'), ['other/one']), [], {}, { do: 'nothing' }],
  [
    'it waits for nobody',
    node('x', [], FOREGROUND),
    [node('y', to('x'))],
    {},
    { do: 'drop-finalizer', finalizer: FOREGROUND[0]! },
  ],
  [
    'it waits for one who blocks',
    node('x', [], FOREGROUND),
    [node('y', [blocks('x')]), node('z', to('x'))],
    {},
    { do: 'look-at', keys: keys('y') },
  ],
  [
    'it waits for one who waits',
    node('x', [], FOREGROUND),
    [node('y', [blocks('x')], FOREGROUND), node('z', [blocks('y')])],
    {},
    { do: 'look-at', keys: [] },
  ],
  [
    'it waits for one who is being deleted',
    node('x', [], FOREGROUND),
    [node('y', [blocks('x')], ['other/one'])],
    {},
    { do: 'look-at', keys: keys('y') },
  ],
  [
    'a circle of two, before the other one knows',
    node('x', [blocks('y')], FOREGROUND),
    [node('y', [blocks('x')])],
    {},
    { do: 'look-at', keys: keys('y') },
  ],
  [
    'a circle of two',
    node('x', [blocks('y')], FOREGROUND),
    [node('x', [blocks('y')], FOREGROUND), node('y', [blocks('x')], FOREGROUND)],
    {},
    { do: 'drop-finalizer', finalizer: FOREGROUND[0]! },
  ],
  [
    'a circle of one',
    node('x', [blocks('x')], FOREGROUND),
    [node('x', [blocks('x')], FOREGROUND)],
    {},
    { do: 'drop-finalizer', finalizer: FOREGROUND[0]! },
  ],
  [
    'a circle, and somebody else',
    node('x', [blocks('y')], FOREGROUND),
    [node('x', [blocks('y')], FOREGROUND), node('y', [blocks('x')], FOREGROUND), node('z', [blocks('x')])],
    {},
    { do: 'look-at', keys: keys('z') },
  ],
  ['it leaves its dependents behind', node('x', to('a'), ['orphan']), [], {}, { do: 'orphan-dependents' }],
  [
    'others hold it too',
    node('x', [], ['other/one', 'foregroundDeletion']),
    [],
    {},
    { do: 'drop-finalizer', finalizer: FOREGROUND[0]! },
  ],
])('%s', (_, item, known, states, step) => {
  const graph = new OwnershipGraph()
  for (const each of known) graph.put(each)
  const planned = plan(item, graph, ({ name }) => states[name]!)
  expect(planned).toEqual({ ...step, why: expect.any(String) })
})

test.each<[string, OwnerReference, string, string | undefined]>([
  ['in the same namespace', reference('a'), 'default', 'Environment default/a'],
  ['cluster-wide', reference('o', { kind: 'Organization' }), 'default', 'Organization /o'],
  ['cluster-wide, of cluster-wide', reference('o', { kind: 'Organization' }), '', 'Organization /o'],
  ['nowhere: cluster-wide objects have no namespaced owners', reference('a'), '', undefined],
  ['not ours: another group', reference('a', { apiVersion: 'example.com/v1alpha1' }), 'default', undefined],
  ['not ours: another version', reference('a', { apiVersion: 'bothy.dev/v2' }), 'default', undefined],
  ['not ours: another kind', reference('a', { kind: 'ConfigMap', apiVersion: 'v1' }), 'default', undefined],
  [
    'events own nothing',
    reference('a', { kind: 'Event', apiVersion: 'events.k8s.io/v1' }),
    'default',
    undefined,
  ],
])('an owner is looked for %s', (_, said, namespace, expected) => {
  const key = ownerKey(said, namespace)
  expect(key && `${key.kind} ${key.namespace}/${key.name}`).toBe(expected)
})

test('a uid counts only where the reference says', () => {
  const graph = new OwnershipGraph()
  const owner = node('x')
  const elsewhere = { ...node('far', to('x')), key: { ...node('far').key, namespace: 'other' } }
  const misnamed = node('misnamed', [reference('y', { uid: 'uid-x' })])
  for (const each of [owner, elsewhere, misnamed, node('near', to('x'))]) graph.put(each)
  expect(graph.dependents(owner).map(({ uid }) => uid)).toEqual(['uid-near'])
  expect(graph.naming('uid-x')).toHaveLength(3)
  graph.remove('uid-near')
  expect(graph.dependents(owner)).toEqual([])
})
