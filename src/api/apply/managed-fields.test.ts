import { describe, expect, test } from 'vitest'
import type { ManagedFieldsEntry } from '../resource.ts'
import { conflictMessage } from './conflicts.ts'
import type { JsonMap } from './json.ts'
import { type ApplyResult, applyConfiguration, trackUpdate } from './managed-fields.ts'
import { objectType } from './object-type.ts'

const apiVersion = 'bothy.dev/v1alpha1'
const text = { type: 'string' }
const type = objectType({
  spec: {
    type: 'object',
    properties: {
      class: text,
      image: text,
      env: { type: 'object', additionalProperties: text },
      sshKeys: { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
      ports: {
        type: 'array',
        items: {
          type: 'object',
          properties: {
            port: { type: 'integer' },
            protocol: { type: 'string', default: 'TCP' },
            name: text,
          },
        },
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['port', 'protocol'],
      },
    },
  },
  status: { type: 'object', properties: { phase: text, epoch: { type: 'integer' } } },
})

interface Tracked {
  readonly metadata: {
    readonly managedFields?: readonly ManagedFieldsEntry[]
    readonly [key: string]: unknown
  }
  readonly [key: string]: unknown
}

/** `second` 7 is seven seconds past noon. */
const at = (second: number): string => `2026-11-20T12:00:${String(second).padStart(2, '0')}Z`

function environment(spec: JsonMap, metadata: JsonMap = {}, rest: JsonMap = {}): Tracked {
  return { apiVersion, kind: 'Environment', metadata: { name: 'otter', ...metadata }, spec, ...rest }
}

function create(manager: string, next: Tracked, second = 0): Tracked {
  return trackUpdate({ type, live: undefined, next, manager, apiVersion, now: at(second) })
}

function update(
  manager: string,
  live: Tracked,
  next: Tracked,
  second: number,
  subresource?: string,
): Tracked {
  return trackUpdate({ type, live, next, manager, subresource, apiVersion, now: at(second) })
}

interface How {
  readonly force?: boolean
  readonly second?: number
  readonly subresource?: string
}

function apply(manager: string, live: Tracked | undefined, config: JsonMap, how: How = {}): ApplyResult {
  const { second = 30, ...rest } = how
  return applyConfiguration({ type, live, config, manager, apiVersion, now: at(second), ...rest })
}

function applied(manager: string, live: Tracked | undefined, config: JsonMap, how: How = {}): Tracked {
  const result = apply(manager, live, config, how)
  if (result.outcome === 'conflict') throw new Error(conflictMessage(result.conflicts))
  return result.object as Tracked
}

function entries(object: Tracked): readonly ManagedFieldsEntry[] {
  return object.metadata.managedFields ?? []
}

function fieldsOf(object: Tracked, manager: string): JsonMap | undefined {
  return entries(object).find(entry => entry.manager === manager)?.fieldsV1
}

describe('an update', () => {
  test('owns what it created, but not what the system owns nor the status', () => {
    const next = environment(
      {
        class: 'small',
        env: { A: '1' },
        sshKeys: ['ssh-ed25519 <k>'],
        ports: [{ port: 80, protocol: 'TCP' }],
      },
      {
        uid: 'u',
        resourceVersion: '5',
        generation: 1,
        creationTimestamp: at(0),
        labels: { team: 'a' },
        finalizers: ['bothy.dev/runner'],
        ownerReferences: [{ apiVersion, kind: 'Project', name: 'p', uid: 'x' }],
      },
      { status: { phase: 'Pending' } },
    )
    expect(entries(create('kubectl-create', next))).toEqual([
      {
        manager: 'kubectl-create',
        operation: 'Update',
        apiVersion,
        time: at(0),
        fieldsType: 'FieldsV1',
        fieldsV1: {
          'f:metadata': {
            'f:finalizers': { '.': {}, 'v:"bothy.dev/runner"': {} },
            'f:labels': { '.': {}, 'f:team': {} },
            'f:ownerReferences': { '.': {}, 'k:{"uid":"x"}': {} },
          },
          'f:spec': {
            '.': {},
            'f:class': {},
            'f:env': { '.': {}, 'f:A': {} },
            'f:ports': {
              '.': {},
              'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:port': {}, 'f:protocol': {} },
            },
            'f:sshKeys': { '.': {}, 'v:"ssh-ed25519 \\u003ck\\u003e"': {} },
          },
        },
      },
    ])
  })

  test('takes from others what it changes, and nobody owns what it removes', () => {
    const first = create('alice', environment({ class: 'small', image: 'a', env: { A: '1' } }))
    const second = update('bob', first, { ...first, spec: { class: 'large', env: { A: '1' } } }, 1)
    expect(fieldsOf(second, 'alice')).toEqual({ 'f:spec': { '.': {}, 'f:env': { '.': {}, 'f:A': {} } } })
    expect(fieldsOf(second, 'bob')).toEqual({ 'f:spec': { 'f:class': {} } })
    expect(entries(second).map(entry => entry.time)).toEqual([at(0), at(1)])
  })

  test('adds to what its manager owned, at the new time', () => {
    const first = create('alice', environment({ class: 'small' }))
    const second = update('alice', first, { ...first, spec: { class: 'small', image: 'b' } }, 4)
    expect(entries(second)).toHaveLength(1)
    expect(entries(second)[0]?.time).toBe(at(4))
    expect(fieldsOf(second, 'alice')).toEqual({ 'f:spec': { '.': {}, 'f:class': {}, 'f:image': {} } })
  })

  test('that changes nothing leaves the very same entries, also those of a client that left them out', () => {
    const live = create('alice', environment({ class: 'small', env: { A: '1', B: '2' } }))
    const next = environment({ env: { B: '2', A: '1' }, class: 'small' })
    expect(update('bob', live, next, 9).metadata.managedFields).toBe(live.metadata.managedFields)
    const back = structuredClone(live)
    expect(update('bob', live, back, 9).metadata.managedFields).toBe(live.metadata.managedFields)
    expect(update('bob', live, live, 9)).toBe(live)
  })

  test('through status owns the status only, beside the same manager elsewhere', () => {
    const live = create('runner', environment({ class: 'small' }))
    const next = { ...live, spec: { class: 'other' }, status: { phase: 'Running', epoch: 1 } }
    const after = update('runner', live, next, 1, 'status')
    expect(entries(after).map(({ manager, subresource }) => [manager, subresource])).toEqual([
      ['runner', undefined],
      ['runner', 'status'],
    ])
    expect(entries(after)[1]?.fieldsV1).toEqual({
      'f:status': { '.': {}, 'f:epoch': {}, 'f:phase': {} },
    })
    expect(entries(after)[0]).toBe(entries(live)[0])
  })

  test('of an object from before the books were kept keeps none', () => {
    const live = environment({ class: 'small' })
    expect(update('alice', live, environment({ class: 'large' }), 1).metadata).not.toHaveProperty(
      'managedFields',
    )
  })

  test('keeps ten updaters at most: the oldest become ancient-changes', () => {
    let object = create('m00', environment({ env: {} }))
    for (let index = 1; index <= 12; index++) {
      const env = { ...(object['spec'] as { env: JsonMap }).env, [`K${index}`]: '1' }
      object = update(`m${String(index).padStart(2, '0')}`, object, { ...object, spec: { env } }, index)
    }
    expect(entries(object)).toHaveLength(10)
    expect(entries(object)[0]?.manager).toBe('ancient-changes')
    expect(entries(object)[0]?.time).toBe(at(3))
    expect(fieldsOf(object, 'ancient-changes')).toEqual({
      'f:spec': { '.': {}, 'f:env': { '.': {}, 'f:K1': {}, 'f:K2': {}, 'f:K3': {} } },
    })
    expect(fieldsOf(object, 'm04')).toEqual({ 'f:spec': { 'f:env': { 'f:K4': {} } } })
  })
})

describe('entries that a client sends', () => {
  const live = create('alice', environment({ class: 'small' }))
  const withSent = (managedFields: unknown): Tracked =>
    environment({ class: 'small' }, { managedFields }) as Tracked

  test('replace those that were there', () => {
    const moved = entries(live).map(entry => ({ ...entry, manager: 'kubectl', operation: 'Apply' as const }))
    const after = update('kubectl', live, withSent(moved), 5)
    expect(entries(after)).toEqual([{ ...entries(live)[0], manager: 'kubectl', operation: 'Apply' }])
  })

  test('with milliseconds in the time, as JavaScript clients send them, are the same entries', () => {
    const sent = entries(live).map(entry => ({ ...entry, time: '2026-11-20T12:00:00.000Z' }))
    expect(update('x', live, withSent(sent), 5).metadata.managedFields).toBe(live.metadata.managedFields)
  })

  test.each([[[]], [[{}]]])('%j asks for a new start', sent => {
    const after = update('x', live, withSent(sent), 5)
    expect(after.metadata).not.toHaveProperty('managedFields')
    expect(fieldsOf(applied('gitops', after, environment({ class: 'small' })), 'before-first-apply')).toEqual(
      {
        'f:spec': { '.': {}, 'f:class': {} },
      },
    )
  })

  test.each([
    ['metadata.managedFields', 'gone'],
    ['metadata.managedFields[0]', ['gone']],
    ['metadata.managedFields[0].operation', [{ ...entries(live)[0], operation: 'Delete' }]],
    ['metadata.managedFields[0].apiVersion', [{ ...entries(live)[0], apiVersion: '' }]],
    ['metadata.managedFields[0].subresource', [{ ...entries(live)[0], subresource: 7 }]],
    ['metadata.managedFields[0].fieldsType', [{ ...entries(live)[0], fieldsType: 'FieldsV2' }]],
    ['metadata.managedFields[0].time', [{ ...entries(live)[0], time: 'yesterday' }]],
    ['metadata.managedFields[0].manager', [{ ...entries(live)[0], manager: 'x'.repeat(129) }]],
    ['metadata.managedFields[0].manager', [{ ...entries(live)[0], manager: 'a\nb' }]],
    ['metadata.managedFields[0].fieldsV1', [{ ...entries(live)[0], fieldsV1: 'f:spec' }]],
    [
      'metadata.managedFields[0].fieldsV1',
      [{ ...entries(live)[0], fieldsV1: { 'f:spec': { nonsense: {} } } }],
    ],
    ['metadata.managedFields[0].fieldsV1', [{ ...entries(live)[0], fieldsV1: { 'k:{': {} } }]],
    [
      'metadata.managedFields[0].fieldsV1',
      [{ ...entries(live)[0], fieldsV1: JSON.parse('{"__proto__":{}}') }],
    ],
  ])('are refused with the cause %s', (field, sent) => {
    expect(() => update('x', live, withSent(sent), 5)).toThrow(
      expect.objectContaining({
        name: 'Fault',
        reason: 'invalid',
        causes: [expect.objectContaining({ field })],
      }),
    )
  })

  test('through a subresource are not taken', () => {
    const after = update('x', live, withSent([]), 5, 'status')
    expect(after.metadata.managedFields).toBe(live.metadata.managedFields)
  })
})

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
