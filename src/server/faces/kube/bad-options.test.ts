// Media types, sizes and options of writes that cannot be: refused as Kubernetes would, and nothing is written.
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
