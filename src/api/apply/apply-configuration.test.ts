import { describe, expect, test } from 'vitest'
import { conflictMessage } from './conflicts.ts'
import {
  apiVersion,
  applied,
  apply,
  at,
  create,
  entries,
  environment,
  fieldsOf,
  type Tracked,
  update,
} from './environment.fixture.ts'
import type { JsonMap } from './json.ts'

describe('an apply', () => {
  const config = environment({ class: 'small', env: { A: '1' } })

  test('that creates the object owns exactly the manifest', () => {
    const object = applied('gitops', undefined, config)
    expect(entries(object)).toEqual([
      {
        manager: 'gitops',
        operation: 'Apply',
        apiVersion,
        time: at(30),
        fieldsType: 'FieldsV1',
        fieldsV1: { 'f:spec': { 'f:class': {}, 'f:env': { 'f:A': {} } } },
      },
    ])
  })

  test('a second time gives the live object itself', () => {
    const live = applied('gitops', undefined, config)
    const again = apply('gitops', live, config, { second: 55 })
    expect(again.outcome === 'ok' && again.object === (live as JsonMap)).toBe(true)
  })

  test('that would change what an updater owns is refused, in the words of Kubernetes', () => {
    const live = create('kubectl-client-side-apply', config)
    const result = apply('gitops', live, environment({ class: 'large', env: { A: '1' } }))
    const message = `conflict with "kubectl-client-side-apply" using ${apiVersion}`
    expect(result).toEqual({
      outcome: 'conflict',
      conflicts: [
        {
          manager: 'kubectl-client-side-apply',
          operation: 'Update',
          apiVersion,
          time: at(0),
          path: '.spec.class',
          message,
        },
      ],
    })
    if (result.outcome === 'conflict') {
      expect(conflictMessage(result.conflicts)).toBe(`Apply failed with 1 conflict: ${message}: .spec.class`)
    }
  })

  test('that conflicts with several names each manager and path', () => {
    const first = applied('a', undefined, environment({ env: { A: '1', B: '1' } }))
    const ports = [{ port: 80, name: 'web' }]
    const live = update('b', first, { ...first, spec: { env: { A: '1', B: '1' }, ports } }, 31)
    const other = environment({ env: { A: '2', B: '2' }, ports: [{ port: 80, name: 'http' }] })
    const result = apply('c', live, other)
    expect(result.outcome === 'conflict' && conflictMessage(result.conflicts)).toBe(
      [
        'Apply failed with 3 conflicts: conflicts with "a":',
        '- .spec.env.A',
        '- .spec.env.B',
        `conflicts with "b" using ${apiVersion}:`,
        '- .spec.ports[port=80,protocol="TCP"].name',
      ].join('\n'),
    )
  })

  test('with force takes the fields', () => {
    const live = create('alice', config)
    const after = applied('gitops', live, environment({ class: 'large' }), { force: true })
    expect(after['spec']).toEqual({ class: 'large', env: { A: '1' } })
    expect(fieldsOf(after, 'alice')).toEqual({ 'f:spec': { '.': {}, 'f:env': { '.': {}, 'f:A': {} } } })
    expect(fieldsOf(after, 'gitops')).toEqual({ 'f:spec': { 'f:class': {} } })
  })

  test('of equal values shares them, and what is shared outlives one owner', () => {
    const shared = applied('b', applied('a', undefined, config), config, { second: 31 })
    expect(fieldsOf(shared, 'a')).toEqual(fieldsOf(shared, 'b'))
    expect(entries(shared).map(entry => entry.time)).toEqual([at(30), at(31)])
    const left = applied('a', shared, environment({ class: 'small' }), { second: 32 })
    expect(left['spec']).toEqual({ class: 'small', env: { A: '1' } })
    const gone = applied('b', left, environment({ class: 'small' }), { second: 33 })
    expect(gone['spec']).toEqual({ class: 'small' })
  })

  test('that leaves out the last item of a container somebody else made leaves it empty, not null', () => {
    const live = create('alice', environment({ class: 'small', env: { A: '1' }, sshKeys: ['k'] }))
    const taken = applied('gitops', live, environment({ env: { A: '2' }, sshKeys: ['k'] }), { force: true })
    const after = applied('gitops', taken, environment({}), { second: 31 })
    expect(after['spec']).toEqual({ class: 'small', env: {}, sshKeys: ['k'] })
  })

  test('to an object from before the books were kept meets before-first-apply', () => {
    const live = environment({ class: 'small' }, {}, { status: { phase: 'Running' } })
    const result = apply('gitops', live, environment({ class: 'large' }))
    expect(result.outcome === 'conflict' && result.conflicts.map(each => each.manager)).toEqual([
      'before-first-apply',
    ])
    expect(fieldsOf(applied('gitops', live, environment({ class: 'small' })), 'before-first-apply')).toEqual({
      'f:spec': { '.': {}, 'f:class': {} },
    })
  })

  test('does not touch status nor what the system wrote', () => {
    const system = { uid: 'u', resourceVersion: '7', generation: 3, creationTimestamp: at(1) }
    const live = create('alice', environment({ class: 'small' }, system, { status: { phase: 'Running' } }))
    const manifest = environment(
      { image: 'i' },
      { creationTimestamp: null, generation: 99 },
      { status: { phase: 'Failed' } },
    )
    const after = applied('gitops', live, manifest)
    expect(after).toMatchObject({ metadata: system, status: { phase: 'Running' } })
    expect(fieldsOf(after, 'gitops')).toEqual({ 'f:spec': { 'f:image': {} } })
  })

  test('through status touches nothing else', () => {
    const live = create('alice', environment({ class: 'small' }))
    const manifest = environment({ class: 'x' }, { labels: { a: 'b' } }, { status: { phase: 'Running' } })
    const after = applied('runner', live, manifest, { subresource: 'status' })
    expect(after).toMatchObject({ spec: { class: 'small' }, status: { phase: 'Running' } })
    expect(after.metadata).not.toHaveProperty('labels')
    expect(entries(after)[0]).toMatchObject({
      subresource: 'status',
      fieldsV1: { 'f:status': { 'f:phase': {} } },
    })
    const conflict = apply(
      'other',
      after,
      { ...manifest, status: { phase: 'Failed' } },
      { subresource: 'status' },
    )
    expect(conflict.outcome === 'conflict' && conflict.conflicts[0]?.message).toBe(
      'conflict with "runner" with subresource "status"',
    )
  })

  test.each([
    ['malformed', environment({}, { managedFields: [] })],
    ['malformed', { ...environment({}), apiVersion: 'bothy.dev/v1' }],
    ['invalid', environment({ env: 'A=1' })],
    ['invalid', environment({ class: ['small'] })],
    ['invalid', environment({ ports: ['web'] })],
    ['invalid', environment({}, { ownerReferences: [{ name: 'p' }] })],
    ['invalid', environment({ ports: [{ port: 1 }, { port: 1, protocol: 'TCP' }] })],
    ['invalid', environment({ sshKeys: ['a', 'a'] })],
    ['invalid', environment({ sshKeys: [null] })],
  ])('is refused as %s: %j', (reason, manifest) => {
    expect(() => apply('gitops', undefined, manifest)).toThrow(
      expect.objectContaining({ name: 'Fault', reason }),
    )
  })

  test('treats __proto__ as the key that it is', () => {
    const manifest = (value: string): JsonMap =>
      JSON.parse(
        `{"apiVersion":"${apiVersion}","kind":"E","metadata":{},"spec":{"env":{"__proto__":"${value}","A":"1"}}}`,
      )
    const live = applied('gitops', undefined, manifest('a'))
    const after = applied('gitops', live, manifest('b'))
    expect(JSON.stringify(after['spec'])).toBe('{"env":{"__proto__":"b","A":"1"}}')
    expect(fieldsOf(after, 'gitops')).toEqual({
      'f:spec': { 'f:env': { 'f:A': {}, 'f:__proto__': {} } },
    })
    const gone = applied('gitops', after, environment({ env: { A: '1' } }))
    expect(JSON.stringify(gone['spec'])).toBe('{"env":{"A":"1"}}')
    expect(Object.prototype).not.toHaveProperty('A')
  })
})

describe('the change over from client-side to server-side apply', () => {
  const annotation = 'kubectl.kubernetes.io/last-applied-configuration'
  const bareConfig = environment({ class: 'small', env: { A: '1' } })
  const annotated = (config: Tracked): Tracked => ({
    ...config,
    metadata: { ...config.metadata, annotations: { [annotation]: `${JSON.stringify(config)}\n` } },
  })
  const live = create('kubectl-client-side-apply', annotated(bareConfig))

  test('does not conflict with what kubectl itself applied, and renews the annotation', () => {
    const manifest = environment({ class: 'large', env: { A: '1' } })
    const after = applied('kubectl', live, manifest)
    expect(after['spec']).toEqual({ class: 'large', env: { A: '1' } })
    expect((after.metadata['annotations'] as JsonMap)[annotation]).toBe(
      `{"apiVersion":"${apiVersion}","kind":"Environment","metadata":{"name":"otter"},"spec":{"class":"large","env":{"A":"1"}}}\n`,
    )
    expect(apply('gitops', live, manifest).outcome).toBe('conflict')
  })

  test('conflicts with what somebody changed since', () => {
    const edited = update('kubectl-edit', live, { ...live, spec: { class: 'medium', env: { A: '1' } } }, 2)
    const result = apply('kubectl', edited, environment({ class: 'large', env: { A: '2' } }))
    expect(result.outcome === 'conflict' && result.conflicts.map(each => each.path)).toEqual(['.spec.class'])
  })
})
