// Objects, deletions and patches that are wrong: the status code and reason that Kubernetes would give.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ALL, IT, type OneObject, startWithOneObject } from '../../../../test/support/one-object.ts'
import { refused } from '../../../../test/support/refused.ts'
import { APPLY, environment, JSON_PATCH, MERGE } from '../../../../test/support/server.ts'

let server: OneObject['server']
let call: OneObject['call']
beforeAll(async () => {
  ;({ server, call } = await startWithOneObject())
})
afterAll(() => server.close())

describe('objects', () => {
  const owner = { apiVersion: 'v1', kind: 'X', name: 'x', uid: 'u' }
  test.each([
    [{ metadata: [] }, 400, ['metadata']],
    [{ metadata: 'x' }, 400, ['metadata']],
    [{ metadata: { name: 1 } }, 400, ['metadata.name']],
    [{ metadata: { name: 'x', labels: { a: 1 } } }, 400, ['metadata.labels.a']],
    [{ metadata: { name: 'x', labels: [] } }, 400, ['metadata.labels']],
    [{ metadata: { name: 'x', annotations: { a: {} } } }, 400, ['metadata.annotations.a']],
    [{ metadata: { name: 'x', finalizers: {} } }, 400, ['metadata.finalizers']],
    [{ metadata: { name: 'x', ownerReferences: 'x' } }, 400, ['metadata.ownerReferences']],
    [{ metadata: { name: 'x' }, kind: [] }, 400, []],
    [{ metadata: { name: 'x' }, apiVersion: { toString: 1 } }, 400, []],
    [{ metadata: { name: 'x', namespace: 'other' } }, 400, []],
    [{ metadata: null }, 422, ['metadata.name']],
    [{ metadata: { name: 'Big' } }, 422, ['metadata.name']],
    [{ metadata: { name: 'x'.repeat(64) } }, 422, ['metadata.name']],
    [{ metadata: { generateName: 'Big_' } }, 422, ['metadata.generateName']],
    [{ metadata: { name: 'x', labels: { 'a b': 'c' } } }, 422, ['metadata.labels[a b]']],
    [{ metadata: { name: 'x', labels: { 'a..b/c': 'd' } } }, 422, ['metadata.labels[a..b/c]']],
    [{ metadata: { name: 'x', labels: { 'A.b/c': 'd' } } }, 422, ['metadata.labels[A.b/c]']],
    [{ metadata: { name: 'x', labels: { a: 'b c' } } }, 422, ['metadata.labels.a']],
    [{ metadata: { name: 'x', annotations: { '/': '' } } }, 422, ['metadata.annotations[/]']],
    [{ metadata: { name: 'x', finalizers: ['a b'] } }, 422, ['metadata.finalizers[0]']],
    [{ metadata: { name: 'x', finalizers: ['orphan', 'foregroundDeletion'] } }, 422, ['metadata.finalizers']],
    [
      { metadata: { name: 'x', ownerReferences: [{ ...owner, uid: '' }] } },
      422,
      ['metadata.ownerReferences[0].uid'],
    ],
    [{ metadata: { name: 'x', managedFields: 'x' } }, 422, ['metadata.managedFields']],
    [{ metadata: { name: 'x' }, spec: [] }, 422, ['spec']],
    [{ metadata: { name: 'x' }, spec: { class: 1, env: [] } }, 422, ['spec.class', 'spec.env']],
    [{ metadata: { name: 'x' }, spec: { env: { A: 'b\0c' } } }, 422, ['spec.env.A']],
  ])('%j: %i', async (body, status, fields) => {
    const reason = status === 400 ? 'BadRequest' : 'Invalid'
    expect(refused(await call('POST', ALL, { body }), status, reason)).toEqual(fields)
  })

  test('annotations may have prefixes in capitals', async () => {
    const body = environment('x', { metadata: { annotations: { 'Example.com/A': 'b' } } })
    expect((await call('POST', `${ALL}?dryRun=All`, { body })).status).toBe(201)
  })

  test('keys that every object of JavaScript has are keys like any other', async () => {
    const cursed = { constructor: 'a', toString: 'b', hasOwnProperty: 'c' }
    const body = environment('cursed', {
      metadata: { labels: cursed, annotations: cursed },
      spec: { env: cursed },
    })
    const made = await call('POST', `${ALL}?dryRun=All`, { body })
    expect(made.body).toMatchObject({
      metadata: { labels: cursed, annotations: cursed },
      spec: { env: cursed },
    })
    expect(Object.keys(Object.prototype)).toEqual([])
  })
})

describe('deletion', () => {
  test.each([
    ['[]', '', 400, []],
    [{ kind: 'Pod' }, '', 400, []],
    [{ gracePeriodSeconds: 'soon' }, '', 400, []],
    [{ preconditions: { uid: 1 } }, '', 400, []],
    [undefined, '?gracePeriodSeconds=soon', 400, []],
    [{ propagationPolicy: 'Later' }, '', 422, ['propagationPolicy']],
    [{ propagationPolicy: 'Orphan', orphanDependents: true }, '', 422, ['propagationPolicy']],
    [{ dryRun: ['Some'] }, '', 422, ['dryRun']],
    [{ preconditions: { uid: 'another' } }, '', 409, []],
    [{ preconditions: { resourceVersion: '1' } }, '', 409, []],
  ])('%j %s: %i', async (body, query, status, fields) => {
    const reason = status === 400 ? 'BadRequest' : status === 409 ? 'Conflict' : 'Invalid'
    expect(refused(await call('DELETE', `${IT}${query}`, { body }), status, reason)).toEqual(fields)
    expect((await call('GET', IT)).status).toBe(200)
  })
})

describe('patches', () => {
  test.each([
    [MERGE, [], 400, []],
    [MERGE, '"text"', 400, []],
    [MERGE, { metadata: { uid: 'x' } }, 422, ['metadata.uid']],
    [MERGE, { metadata: { name: 'x' } }, 422, ['metadata.name']],
    [MERGE, { kind: 'Runner', apiVersion: 'v1' }, 422, ['apiVersion', 'kind']],
    [MERGE, { metadata: { namespace: 'x' } }, 400, []],
    [MERGE, { spec: { class: 'x' } }, 422, ['spec.class']],
    [MERGE, { metadata: { labels: { a: 1 } } }, 422, ['metadata.labels.a']],
    [MERGE, '{"metadata":{"__proto__":{}}}', 400, []],
    [JSON_PATCH, {}, 400, []],
    [JSON_PATCH, [{ op: 'remove' }], 400, []],
    [JSON_PATCH, [{ op: 'add', path: '/spec/env/A' }], 400, []],
    [JSON_PATCH, [{ op: 'add', path: { toString: 1 }, value: 1 }], 400, []],
    [JSON_PATCH, [{ op: 'test', path: '/kind', value: 'x' }], 422, []],
    [JSON_PATCH, [{ op: 'add', path: '/__proto__/x', value: 1 }], 422, []],
    [JSON_PATCH, [{ op: 'add', path: '/constructor/prototype/x', value: 1 }], 422, []],
    [JSON_PATCH, [{ op: 'replace', path: '/metadata/uid', value: 'x' }], 422, ['metadata.uid']],
    [APPLY, { kind: { toString: 1 } }, 400, []],
    [APPLY, environment('other'), 400, []],
    [APPLY, { ...environment('it'), metadata: [] }, 422, ['metadata']],
  ])('%j %j: %i', async (headers, body, status, fields) => {
    const path = headers === APPLY ? `${IT}?fieldManager=m` : IT
    const reason = status === 400 ? 'BadRequest' : 'Invalid'
    expect(refused(await call('PATCH', path, { body, headers }), status, reason)).toEqual(fields)
  })

  test('nothing grows or deepens without bound by copying and moving', async () => {
    const add = { op: 'add', path: '/spec/a', value: ['x'.repeat(1000)] }
    const copies = Array.from({ length: 40 }, () => ({ op: 'copy', from: '/spec/a', path: '/spec/a/-' }))
    refused(await call('PATCH', IT, { body: [add, ...copies], headers: JSON_PATCH }), 422, 'Invalid')
    const wrap = [
      { op: 'add', path: '/spec/w', value: { x: {} } },
      { op: 'move', from: '/spec/v', path: '/spec/w/x/v' },
      { op: 'move', from: '/spec/w', path: '/spec/v' },
    ]
    const moves = [
      { op: 'add', path: '/spec/v', value: {} },
      ...Array.from({ length: 3_000 }, () => wrap).flat(),
    ]
    refused(await call('PATCH', IT, { body: moves, headers: JSON_PATCH }), 422, 'Invalid')
  })

  test('an object that does not exist is not made by PUT, nor with another name', async () => {
    const { body } = await call('GET', IT)
    refused(
      await call('PUT', `${ALL}/else`, { body: { ...body, metadata: { ...body.metadata, name: 'else' } } }),
      404,
      'NotFound',
    )
    refused(
      await call('PUT', IT, { body: { ...body, metadata: { ...body.metadata, name: 'else' } } }),
      400,
      'BadRequest',
    )
    const apply = { body: environment('Not_A_Name'), headers: APPLY }
    expect(refused(await call('PATCH', `${ALL}/Not_A_Name?fieldManager=m`, apply), 422, 'Invalid')).toEqual([
      'metadata.name',
    ])
  })

  test('managed fields are bounded in depth like everything else', async () => {
    for (const element of [`v:${nest(20_000)}`, `k:{"a":${nest(20_000)}}`]) {
      const entry = {
        manager: 'a',
        operation: 'Update',
        apiVersion: 'bothy.dev/v1alpha1',
        fieldsType: 'FieldsV1',
      }
      const metadata = { managedFields: [{ ...entry, fieldsV1: { [element]: {} } }] }
      const answer = await call('PATCH', IT, { body: { metadata }, headers: MERGE })
      expect(refused(answer, 422, 'Invalid')).toEqual(['metadata.managedFields[0].fieldsV1'])
    }
  })
})

const nest = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
