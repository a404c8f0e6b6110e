import { describe, expect, test } from 'vitest'
import {
  apiVersion,
  applied,
  at,
  create,
  entries,
  environment,
  fieldsOf,
  type Tracked,
  update,
} from './environment.fixture.ts'
import type { JsonMap } from './json.ts'

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
