import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  environment,
  type Json,
  MERGE,
  pathOf,
  type ServerFixture,
  startServer,
} from '../../../../test/support/server.ts'
import { join, message, string } from './protobuf/writer.ts'

let server: ServerFixture
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const as = (who: 'admin' | 'ada' | 'bob' | 'eve') => ({ token: server.tokens[who] })
const create = (name: string, more?: Json) =>
  server.call('POST', pathOf('environments'), { ...as('ada'), body: environment(name, more) })

describe('create', () => {
  test('fills in defaults, uid, generation and the owner', async () => {
    const { status, body } = await create('made', {
      metadata: { annotations: { 'bothy.dev/owner': 'root' } },
    })
    expect(status).toBe(201)
    expect(body).toMatchObject({
      apiVersion: 'bothy.dev/v1alpha1',
      kind: 'Environment',
      metadata: {
        name: 'made',
        namespace: 'default',
        generation: 1,
        annotations: { 'bothy.dev/owner': 'ada' },
      },
      spec: { desired: 'Running', class: 'small', content: { empty: {} }, env: {} },
      status: { phase: 'Pending', epoch: 0 },
    })
    expect(body.metadata.uid).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('completes generateName', async () => {
    const body = { metadata: { generateName: 'gen-' }, spec: {} }
    const answers = [1, 2].map(() => server.call('POST', pathOf('environments'), { ...as('ada'), body }))
    const made = (await Promise.all(answers)).map(answer => answer.body.metadata)
    expect(new Set(made.map(({ name }) => name)).size).toBe(2)
    for (const { name, generateName } of made)
      expect([name, generateName]).toEqual([expect.stringMatching(/^gen-[a-z0-9]{5}$/), 'gen-'])
    const long = { metadata: { generateName: 'x'.repeat(63) }, spec: {} }
    const { name } = (await server.call('POST', pathOf('environments'), { ...as('ada'), body: long })).body
      .metadata
    expect(name).toMatch(/^x{58}[a-z0-9]{5}$/)
  })

  test('dryRun=All answers the object and stores nothing; a name that is taken is refused all the same', async () => {
    const dry = (name: string) =>
      server.call('POST', `${pathOf('environments')}?dryRun=All`, { ...as('ada'), body: environment(name) })
    const { status, body } = await dry('rehearsed')
    expect(status).toBe(201)
    expect(body.spec.class).toBe('small')
    expect((await server.call('GET', pathOf('environments', 'rehearsed'), as('ada'))).status).toBe(404)
    await create('taken-dry')
    expect((await dry('taken-dry')).status).toBe(409)
  })

  test('a name that is taken is 409 AlreadyExists', async () => {
    await create('twice')
    const { status, body } = await create('twice')
    expect(status).toBe(409)
    expect(body).toMatchObject({ kind: 'Status', reason: 'AlreadyExists', details: { name: 'twice' } })
    expect(body.details.bothy).toMatchObject({ reason: 'already_exists' })
  })

  test.each([
    ['no JSON', '{"metadata":', 400, 'BadRequest'],
    ['an array', '[]', 400, 'BadRequest'],
    ['nothing', '', 400, 'BadRequest'],
    ['another kind', '{"kind":"Runner","metadata":{"name":"x"}}', 400, 'BadRequest'],
    ['another version', '{"apiVersion":"v1","metadata":{"name":"x"}}', 400, 'BadRequest'],
    ['another namespace', '{"metadata":{"name":"x","namespace":"other"}}', 400, 'BadRequest'],
    ['an unknown field', '{"metadata":{"name":"x"},"spec":{"imag":"a"}}', 400, 'BadRequest'],
    ['a field twice', '{"metadata":{"name":"x"},"spec":{"class":"a","class":"b"}}', 400, 'BadRequest'],
    ['a key __proto__', '{"metadata":{"name":"x"},"__proto__":{}}', 400, 'BadRequest'],
    ['bottomless nesting', `{"spec":${'['.repeat(100)}${']'.repeat(100)}}`, 400, 'BadRequest'],
    ['no name', '{"metadata":{}}', 422, 'Invalid'],
    ['a name with capitals', '{"metadata":{"name":"Big"}}', 422, 'Invalid'],
    ["a name with '--'", '{"metadata":{"name":"a--b"}}', 422, 'Invalid'],
    ['a wrong label', '{"metadata":{"name":"x","labels":{"a b":"c"}}}', 422, 'Invalid'],
    [
      'a file URL',
      '{"metadata":{"name":"x"},"spec":{"content":{"git":{"url":"file:///etc"}}}}',
      422,
      'Invalid',
    ],
    [
      'two contents',
      '{"metadata":{"name":"x"},"spec":{"content":{"empty":{},"git":{"url":"https://a/b"}}}}',
      422,
      'Invalid',
    ],
    ['a wrong choice', '{"metadata":{"name":"x"},"spec":{"desired":"Maybe"}}', 422, 'Invalid'],
  ])('refuses %s with a Status and a hint', async (_, body, status, reason) => {
    const path = `${pathOf('environments')}?fieldValidation=Strict`
    const answer = await server.call('POST', path, { ...as('ada'), body })
    expect(answer.body).toMatchObject({
      kind: 'Status',
      apiVersion: 'v1',
      status: 'Failure',
      code: status,
      reason,
    })
    expect(answer.status).toBe(status)
    expect(answer.body.details.bothy.hint ?? 'none').not.toBe('none')
    expect(answer.headers['warning']).toContain('hint: ')
  })

  test('names every wrong field by its path', async () => {
    const spec = {
      class: 'Not A Name',
      env: { 'a b': '1' },
      content: { git: { url: 'https://a/b', depth: -1 } },
    }
    const { body } = await create('wrong', { spec })
    const fields = body.details.causes.map((cause: Json) => cause.field)
    expect(fields.sort()).toEqual(['spec.class', 'spec.content.git.depth', 'spec.env[a b]'])
  })

  test('says nothing in Ignore mode, and warns in Warn mode, of fields it does not know', async () => {
    const body = environment('tolerant', { spec: { imag: 'a' } })
    const post = (mode: string) =>
      server.call('POST', `${pathOf('environments')}?fieldValidation=${mode}&dryRun=All`, {
        ...as('ada'),
        body,
      })
    const strict = await post('Strict')
    expect(strict.status).toBe(400)
    expect(strict.body.message).toBe('strict decoding error: unknown field "spec.imag"')
    const warned = await post('Warn')
    expect(warned.status).toBe(201)
    expect(warned.headers['warning']).toBe('299 - "unknown field \\"spec.imag\\""')
    expect(warned.body.spec.imag).toBeUndefined()
    const ignored = await post('Ignore')
    expect(ignored.status).toBe(201)
    expect(ignored.headers['warning']).toBeUndefined()
  })

  test('refuses bodies over 1 MiB and of other media types', async () => {
    const big = await create('big', { metadata: { annotations: { a: 'x'.repeat(1 << 20) } } })
    expect(big.status).toBe(413)
    expect(big.body.reason).toBe('RequestEntityTooLarge')
    for (const type of ['text/plain', 'application/yaml', 'application/cbor']) {
      const headers = { 'content-type': type }
      const other = await server.call('POST', pathOf('environments'), { ...as('ada'), body: '{}', headers })
      expect(other.status).toBe(415)
    }
  })

  test('takes protobuf for what clients have compiled in, and for nothing else', async () => {
    const headers = { 'content-type': 'application/vnd.kubernetes.protobuf' }
    const post = (path: string, apiVersion: string, kind: string) => {
      const type = message(1, join(string(1, apiVersion), string(2, kind)))
      const object = message(2, message(1, string(1, 'compiled-in')))
      const body = join(Buffer.from('k8s\0'), type, object).toString('latin1')
      return server.call('POST', path, { ...as('admin'), body, headers })
    }
    const created = await post('/api/v1/namespaces', 'v1', 'Namespace')
    expect(created).toMatchObject({ status: 201, body: { metadata: { name: 'compiled-in' } } })
    const own = await post(pathOf('environments'), 'bothy.dev/v1alpha1', 'Environment')
    expect(own.body).toMatchObject({
      code: 415,
      details: { bothy: { hint: expect.stringContaining('json') } },
    })
    const wrong = await server.call('POST', '/api/v1/namespaces', { ...as('admin'), body: '{}', headers })
    expect(wrong.body).toMatchObject({ code: 400, reason: 'BadRequest' })
  })
})

describe('delete', () => {
  test('removes at once without finalizers and answers the last state', async () => {
    const { body } = await create('gone')
    const path = pathOf('environments', 'gone')
    const wrong = { preconditions: { uid: '00000000-0000-7000-8000-000000000000' } }
    expect((await server.call('DELETE', path, { ...as('ada'), body: wrong })).status).toBe(409)
    expect((await server.call('DELETE', `${path}?dryRun=All`, as('ada'))).status).toBe(200)
    const right = { propagationPolicy: 'Background', preconditions: { uid: body.metadata.uid } }
    const gone = await server.call('DELETE', path, { ...as('ada'), body: right })
    expect(gone.body.metadata.uid).toBe(body.metadata.uid)
    expect((await server.call('GET', path, as('ada'))).status).toBe(404)
    expect((await server.call('DELETE', path, as('ada'))).status).toBe(404)
  })

  test('waits for finalizers; the last one to go takes the object along', async () => {
    await create('held', { metadata: { finalizers: ['example.com/hold'] } })
    const path = pathOf('environments', 'held')
    const marked = await server.call('DELETE', path, as('ada'))
    expect(marked.body.metadata.deletionTimestamp).toBeTypeOf('string')
    const patch = (finalizers: Json) =>
      server.call('PATCH', path, { ...as('ada'), headers: MERGE, body: { metadata: { finalizers } } })
    expect((await patch(['example.com/hold', 'example.com/more'])).status).toBe(422)
    expect((await patch(null)).status).toBe(200)
    expect((await server.call('GET', path, as('ada'))).status).toBe(404)
  })

  test('leaves word for the collector, and refuses what no server knows', async () => {
    await create('owner')
    const path = pathOf('environments', 'owner')
    const remove = (propagationPolicy: string) =>
      server.call('DELETE', path, { ...as('ada'), body: { propagationPolicy } })
    expect((await remove('Later')).body.details).toMatchObject({ kind: 'DeleteOptions' })
    expect((await server.call('DELETE', `${path}?propagationPolicy=Later`, as('ada'))).status).toBe(422)
    expect((await remove('Foreground')).body.metadata).toMatchObject({
      finalizers: ['foregroundDeletion'],
      deletionTimestamp: expect.any(String),
      generation: 2,
    })
    expect((await remove('Orphan')).body.metadata.finalizers).toEqual(['orphan'])
    expect((await remove('Background')).status).toBe(200)
    expect((await server.call('GET', path, as('ada'))).status).toBe(404)
  })
})
