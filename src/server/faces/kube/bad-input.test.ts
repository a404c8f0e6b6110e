// Requests that are wrong: the status code and reason that Kubernetes would give, with a Status that says which field.
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  environment,
  type Json,
  MERGE,
  pathOf,
  ROOT,
  type ServerFixture,
  startServer,
} from '../../../../test/support/server.ts'

let server: ServerFixture
beforeAll(async () => {
  server = await startServer()
  await server.call('POST', ALL, {
    token: server.tokens.ada,
    body: environment('it', { metadata: { labels: { a: 'b' } } }),
  })
})
afterAll(() => server.close())

const ALL = pathOf('environments')
const IT = pathOf('environments', 'it')
const JSON_PATCH = { 'content-type': 'application/json-patch+json' }
const APPLY = { 'content-type': 'application/apply-patch+yaml' }
const call = (
  method: string,
  path: string,
  more: { body?: unknown; headers?: Record<string, string> } = {},
) => server.call(method, path, { token: server.tokens.ada, ...more })

/** The field of each cause, after looking at what every Status has. */
const refused = (answer: Awaited<ReturnType<typeof call>>, status: number, reason: string): string[] => {
  const { body } = answer
  expect({ ...body, details: undefined, message: undefined }).toEqual({
    ...{ kind: 'Status', apiVersion: 'v1', status: 'Failure', metadata: {}, code: status, reason },
    ...{ details: undefined, message: undefined },
  })
  expect(answer.status).toBe(status)
  expect(body.message).not.toBe('')
  const causes = (body.details.causes ?? []) as Json[]
  for (const cause of causes)
    expect(cause).toMatchObject({ message: expect.any(String), field: expect.any(String) })
  return causes.map(cause => cause.field)
}

describe('lists and watches', () => {
  test.each([
    ['limit=one', 400, 'BadRequest', []],
    ['limit=NaN', 400, 'BadRequest', []],
    ['limit=99999999999999999999', 400, 'BadRequest', []],
    ['timeoutSeconds=soon', 400, 'BadRequest', []],
    ['continue=forged', 400, 'BadRequest', []],
    ['continue=%00', 400, 'BadRequest', []],
    ['continue=eyJ2IjoxLCJhdCI6IjEwMDAiLCJuYW1lc3BhY2UiOiJvdGhlciIsIm5hbWUiOiJhIn0', 400, 'BadRequest', []],
    ['resourceVersion=abc', 400, 'BadRequest', []],
    ['resourceVersion=-1', 400, 'BadRequest', []],
    ['watch=true&resourceVersion=abc', 400, 'BadRequest', []],
    ['resourceVersion=999999999999', 504, 'Timeout', ['']],
    ['resourceVersion=9223372036854775807', 504, 'Timeout', ['']],
    ['resourceVersion=999999999999&resourceVersionMatch=Exact', 504, 'Timeout', ['']],
    [
      'watch=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan&resourceVersion=999999999',
      504,
      'Timeout',
      [''],
    ],
    ['resourceVersion=1&resourceVersionMatch=Exact', 410, 'Expired', []],
    ['resourceVersionMatch=Exact', 422, 'Invalid', ['resourceVersionMatch']],
    ['resourceVersion=0&resourceVersionMatch=Exact', 422, 'Invalid', ['resourceVersionMatch']],
    ['resourceVersion=1&resourceVersionMatch=Nearly', 422, 'Invalid', ['resourceVersionMatch']],
    ['resourceVersion=1&resourceVersionMatch=Exact&continue=x', 422, 'Invalid', ['resourceVersionMatch']],
    ['sendInitialEvents=false', 422, 'Invalid', ['sendInitialEvents']],
    ['watch=true&sendInitialEvents=true', 422, 'Invalid', ['resourceVersionMatch']],
    ['watch=true&resourceVersionMatch=NotOlderThan', 422, 'Invalid', ['resourceVersionMatch']],
    ['labelSelector=a%3D%3D%3Db', 400, 'BadRequest', []],
    ['labelSelector=%00', 400, 'BadRequest', []],
    ['labelSelector=a%20in%20(b', 400, 'BadRequest', []],
    ['fieldSelector=spec.env%3Dx', 400, 'BadRequest', []],
    ['fieldSelector=__proto__%3Dx', 400, 'BadRequest', []],
    ['includeObject=Some', 400, 'BadRequest', []],
  ])('%s: %i %s', async (query, status, reason, fields) => {
    expect(refused(await call('GET', `${ALL}?${query}`), status, reason)).toEqual(fields)
  })

  test.each([
    ['limit=-1', 1],
    ['limit=9999999999', 1],
    ['limit=1&limit=x', 1],
    ['timeoutSeconds=-1', 1],
    ['a=%ff&%zz&__proto__=1', 1],
    ['labelSelector=constructor', 0],
    ['labelSelector=toString', 0],
    ['labelSelector=!constructor', 1],
    ['resourceVersion=1&resourceVersionMatch=NotOlderThan', 1],
  ])('%s is answered with %i objects', async (query, count) => {
    const { status, body } = await call('GET', `${ALL}?${query}`)
    expect(status).toBe(200)
    expect(body.items).toHaveLength(count)
  })

  test('one object is not watched, it is answered', async () => {
    expect((await call('GET', `${IT}?watch=true`)).body.metadata.name).toBe('it')
  })
})

describe('paths and methods', () => {
  test.each([
    ['Big_Name', 404, 'NotFound'],
    ['a--b', 404, 'NotFound'],
    ['%C3%BC', 404, 'NotFound'],
    ['constructor', 404, 'NotFound'],
    ['a'.repeat(300), 404, 'NotFound'],
    ['x//', 404, 'NotFound'],
    ['a%2Fb', 400, 'BadRequest'],
    ['a%252Fb', 400, 'BadRequest'],
    ['%00', 400, 'BadRequest'],
    ['a%0d%0aSet-Cookie:b', 400, 'BadRequest'],
    ['%ff', 400, 'BadRequest'],
    ['%zz', 400, 'BadRequest'],
  ])('GET environments/%s: %i', async (name, status, reason) => {
    const answer = await call('GET', `${ALL}/${name}`)
    refused(answer, status, reason)
    expect(answer.headers['set-cookie']).toBeUndefined()
  })

  test('a slash at the end means nothing; other spellings of a path are other paths', async () => {
    expect((await call('GET', `${IT}/`)).status).toBe(200)
    for (const path of [
      IT.toUpperCase(),
      `${ROOT}/namespaces//environments`,
      '/apis/bothy.dev/v9/environments',
    ])
      expect((await call('GET', path)).status).toBeGreaterThanOrEqual(400)
  })

  test.each(['HEAD', 'OPTIONS', 'POST'])('%s on an object is 405', async method => {
    const answer = await server.open(IT, {
      token: server.tokens.ada,
      headers: { 'x-http-method-override': 'GET' },
    })
    answer.resume()
    const status =
      method === 'HEAD' ? (await head(IT)).status : (await call(method, IT, { body: '{}' })).status
    expect(status).toBe(405)
  })

  test('in a namespace that is none', async () => {
    expect((await call('GET', `${ROOT}/namespaces/Not_One/environments`)).body.items).toEqual([])
    const made = await call('POST', `${ROOT}/namespaces/nowhere/environments`, { body: environment('x') })
    refused(made, 404, 'NotFound')
  })

  test.each(['User', 'Group', 'Uid', 'Extra-scopes'])('Impersonate-%s is 403, never ignored', async what => {
    refused(await call('GET', ALL, { headers: { [`Impersonate-${what}`]: 'root' } }), 403, 'Forbidden')
  })
})

describe('what is accepted and sent', () => {
  test.each([
    'application/xml',
    'application/json;q=0',
    'application/json;as=Table;v=v9;g=meta.k8s.io',
    'application/json;as=__proto__;g=meta.k8s.io;v=v1',
    'nonsense',
  ])('Accept: %s is 406, before anything is written', async accept => {
    for (const [method, path, body] of [
      ['GET', ALL, undefined],
      ['POST', ALL, environment('unwanted')],
      ['DELETE', IT, undefined],
    ] as const)
      refused(await call(method, path, { body, headers: { accept } }), 406, 'NotAcceptable')
    expect((await call('GET', `${ALL}/unwanted`)).status).toBe(404)
    expect((await call('GET', IT)).status).toBe(200)
  })

  test.each(['text/plain', 'nonsense', ';', '', '__proto__', 'application/merge-patch+json'])(
    'Content-Type: %j is 415',
    async type => {
      const headers = { 'content-type': type }
      refused(await call('POST', ALL, { body: '{}', headers }), 415, 'UnsupportedMediaType')
      if (type !== 'application/merge-patch+json')
        refused(await call('PATCH', IT, { body: '{}', headers }), 415, 'UnsupportedMediaType')
    },
  )

  test('too much is 413: bodies, YAML, operations', async () => {
    const big = 'x'.repeat(1 << 20)
    const body = environment('big', { metadata: { annotations: { a: big } } })
    refused(await call('POST', ALL, { body }), 413, 'RequestEntityTooLarge')
    refused(await call('PATCH', IT, { body, headers: MERGE }), 413, 'RequestEntityTooLarge')
    const yaml = `a: ${'b'.repeat(200_000)}`
    refused(
      await call('PATCH', `${IT}?fieldManager=m`, { body: yaml, headers: APPLY }),
      413,
      'RequestEntityTooLarge',
    )
    const operations = Array.from({ length: 10_001 }, () => ({
      op: 'test',
      path: '/kind',
      value: 'Environment',
    }))
    refused(await call('PATCH', IT, { body: operations, headers: JSON_PATCH }), 413, 'RequestEntityTooLarge')
  })

  const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  test.each([
    ['POST', {}, `{"metadata":{"name":"x"},"spec":${nested(5_000)}}`],
    ['PATCH', MERGE, `{"spec":${nested(5_000)}}`],
    ['PATCH', APPLY, `a: ${nested(5_000)}`],
    ['PATCH', APPLY, Array.from({ length: 300 }, (_, n) => `${' '.repeat(n)}a:`).join('\n')],
    ['PATCH', APPLY, '- '.repeat(5_000)],
  ])('deep bodies are 400: %s %j', async (method, headers, body) => {
    const path = method === 'POST' ? ALL : `${IT}?fieldManager=m`
    refused(
      await call(method, path, { body, headers: { 'content-type': 'application/json', ...headers } }),
      400,
      'BadRequest',
    )
  })
})

describe('options of writes', () => {
  const methods = [
    ['POST', ALL, {}, environment('unwritten')],
    ['PUT', IT, {}, environment('it')],
    ['PATCH', IT, MERGE, {}],
    ['PATCH', IT, APPLY, environment('it')],
  ] as const
  test.each([
    ['dryRun=', 'dryRun'],
    ['dryRun=true', 'dryRun'],
    ['dryRun=All&dryRun=Some', 'dryRun'],
    ['fieldValidation=Rough', 'fieldValidation'],
    ['fieldManager=a%0d%0ab', 'fieldManager'],
    [`fieldManager=${'x'.repeat(129)}`, 'fieldManager'],
  ])('%s is 422 wherever it stands, and nothing is written', async (query, field) => {
    for (const [method, path, headers, body] of methods) {
      const manager = query.startsWith('fieldManager') ? '' : '&fieldManager=m'
      const type = { 'content-type': 'application/json', ...headers }
      const answer = await call(method, `${path}?${query}${manager}`, { body, headers: type })
      expect(refused(answer, 422, 'Invalid')).toEqual([field])
    }
    if (field === 'dryRun')
      expect(refused(await call('DELETE', `${IT}?${query}`), 422, 'Invalid')).toEqual([field])
    expect((await call('GET', `${ALL}/unwritten`)).status).toBe(404)
  })

  test('force is for apply, and apply is somebody’s', async () => {
    expect(
      refused(await call('PATCH', `${IT}?force=true`, { body: {}, headers: MERGE }), 422, 'Invalid'),
    ).toEqual(['force'])
    expect(
      refused(await call('PATCH', IT, { body: environment('it'), headers: APPLY }), 422, 'Invalid'),
    ).toEqual(['fieldManager'])
  })

  // [method, path, media type, body, refused as] for a field that is unknown and a key that stands twice.
  const doubtful =
    '{"apiVersion":"bothy.dev/v1alpha1","kind":"Environment","metadata":{"name":"NAME"},"spec":{"imag":"a","env":{"A":"1","A":"2"}}}'
  test.each([
    ['POST', 'fresh', 'application/json', doubtful, 400],
    ['PATCH', 'it', 'application/merge-patch+json', doubtful, 422],
    ['PATCH', 'it', 'application/apply-patch+yaml', doubtful, 400],
    [
      ...['PATCH', 'it', 'application/apply-patch+yaml'],
      'apiVersion: bothy.dev/v1alpha1\nkind: Environment\nmetadata: {name: NAME}\nspec:\n  imag: a\n  env:\n    A: "1"\n    A: "2"\n',
      400,
    ],
  ] as [string, string, string, string, number][])(
    'unknown and doubled fields: %s %s %s',
    async (method, name, type, text, status) => {
      const path = method === 'POST' ? ALL : IT
      const send = (mode: string) =>
        call(
          method,
          `${path}?dryRun=All&fieldManager=m&force=${type.includes('apply')}&fieldValidation=${mode}`.replace(
            '&force=false',
            '',
          ),
          {
            body: text.replace('NAME', name),
            headers: { 'content-type': type },
          },
        )
      const said = ['unknown field "spec.imag"', 'duplicate field "spec.env.A"']
      const strict = await send('Strict')
      expect(refused(strict, status, status === 400 ? 'BadRequest' : 'Invalid')).toEqual([
        'spec.imag',
        'spec.env.A',
      ])
      expect(strict.body.message).toBe(`strict decoding error: ${said.join(', ')}`)
      const warned = await send('Warn')
      expect(warned.body.kind).toBe('Environment')
      const warnings = said.map(each => `299 - "${each.replaceAll('"', '\\"')}"`)
      expect(warned.headers['warning']).toBe(warnings.join(', '))
      const ignored = await send('Ignore')
      expect(ignored.body.kind).toBe('Environment')
      expect(ignored.headers['warning']).toBeUndefined()
    },
  )

  test('many mistakes in little space make neither a long answer nor long headers', async () => {
    const doubled = `{"metadata":{"name":"x"},"${'k'.repeat(200_000)}":{${'"a":1,'.repeat(100_000)}"a":1}}`
    const unknown = `{"metadata":{"name":"x"},"spec":{${Array.from({ length: 50_000 }, (_, n) => `"k${n}":1`).join()}}}`
    const wrong = `{"metadata":{"name":"x"},"spec":{"env":{${Array.from({ length: 50_000 }, (_, n) => `" ${n}":"1"`).join()}}}}`
    for (const body of [doubled, unknown, wrong])
      for (const mode of ['Strict', 'Warn']) {
        const answer = await call('POST', `${ALL}?dryRun=All&fieldValidation=${mode}`, { body })
        expect(answer.status).toBeLessThan(500)
        expect(answer.text.length).toBeLessThan(64 * 1024)
        expect(JSON.stringify(answer.headers).length).toBeLessThan(12 * 1024)
      }
  })

  test('what a client writes cannot end a header', async () => {
    const body = environment('x', { spec: { 'a\r\nSet-Cookie: b=c\u2028\u00e9"\\': 1 } })
    const { headers } = await call('POST', `${ALL}?dryRun=All&fieldValidation=Warn`, { body })
    expect(headers['set-cookie']).toBeUndefined()
    expect(headers['warning']).toMatch(/^299 - "unknown field [\x20-\x7e]*"$/)
  })
})

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

describe('on the wire', () => {
  test.each([
    ['two lengths that differ', 'Content-Length: 2\r\nContent-Length: 3\r\n', '{}'],
    ['a length and chunks', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'],
    ['chunked, but not at last', 'Transfer-Encoding: chunked, identity\r\n', '0\r\n\r\n'],
    ['a space before the colon', 'Content-Length : 2\r\n', '{}'],
    ['a header over two lines', 'X-A: b\r\n c: d\r\nContent-Length: 2\r\nTransfer-Encoding: x\r\n', '{}'],
  ])('%s: refused, and what follows is not read as a request', async (_, headers, body) => {
    const hidden = `GET /version HTTP/1.1\r\nHost: x\r\n\r\n`
    const head = `POST ${ALL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.tokens.ada}\r\n`
    const answer = await raw(`${head}${headers}\r\n${body}${hidden}`)
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1)
  })

  test('double slashes and whole URLs lead nowhere else', async () => {
    const token = `Authorization: Bearer ${server.tokens.ada}\r\nConnection: close\r\n\r\n`
    expect(await raw(`GET /${IT} HTTP/1.1\r\nHost: x\r\n${token}`)).toMatch(/^HTTP\/1\.1 404 /)
    expect(await raw(`GET https://evil.example${IT} HTTP/1.1\r\nHost: x\r\n${token}`)).toMatch(
      /^HTTP\/1\.1 [24]0[04] /,
    )
    expect(await raw(`GET ${IT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 401 /,
    )
  })
})

const nest = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)

async function head(path: string): Promise<{ status: number }> {
  const answer = await raw(
    `HEAD ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.tokens.ada}\r\nConnection: close\r\n\r\n`,
  )
  return { status: Number(answer.split(' ')[1]) }
}

/** Bytes as they are, and everything that comes back until the server closes. */
function raw(text: string): Promise<string> {
  const { hostname, port } = new URL(server.url())
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect({ host: hostname, port: Number(port), ca: server.pki.ca }, () =>
      socket.write(text),
    )
    socket.on('data', chunk => {
      answer += String(chunk)
    })
    socket.once('error', reject)
    socket.once('close', () => resolve(answer))
  })
}
