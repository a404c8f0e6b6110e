import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  environment,
  type Json,
  MERGE,
  pathOf,
  type ServerFixture,
  startServer,
} from '../../../../test/support/server.ts'

let server: ServerFixture
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const as = (who: 'admin' | 'ada' | 'bob' | 'eve') => ({ token: server.tokens[who] })
const create = (name: string, more?: Json) =>
  server.call('POST', pathOf('environments'), { ...as('ada'), body: environment(name, more) })

describe('update', () => {
  test('a stale revision is 409, the current one wins, no revision is 422', async () => {
    const { body: first } = await create('raced')
    const path = pathOf('environments', 'raced')
    const put = (body: Json) => server.call('PUT', path, { ...as('ada'), body })
    const second = await put({ ...first, spec: { ...first.spec, desired: 'Stopped' } })
    expect(second.status).toBe(200)
    expect(second.body.metadata.generation).toBe(2)
    const stale = await put({ ...first, spec: { ...first.spec, env: { A: '1' } } })
    expect(stale.status).toBe(409)
    expect(stale.body.reason).toBe('Conflict')
    const { resourceVersion: _, ...metadata } = first.metadata
    expect((await put({ ...first, metadata })).status).toBe(422)
  })

  test('of many writers with the same revision exactly one wins', async () => {
    const { body } = await create('crowded')
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        server.call('PUT', pathOf('environments', 'crowded'), {
          ...as('ada'),
          body: { ...body, spec: { ...body.spec, env: { N: String(n) } } },
        }),
      ),
    )
    expect(answers.map(answer => answer.status).toSorted((a, b) => a - b)).toEqual([
      200,
      ...Array(7).fill(409),
    ])
  })

  test('what changes nothing keeps the revision; status and immutable fields stay', async () => {
    const { body } = await create('still')
    const path = pathOf('environments', 'still')
    const same = await server.call('PUT', path, {
      ...as('ada'),
      body: { ...body, status: { phase: 'Running' } },
    })
    expect(same.body).toEqual(body)
    const changed = { ...body, spec: { ...body.spec, class: 'large' } }
    const refused = await server.call('PUT', path, { ...as('ada'), body: changed })
    expect(refused.status).toBe(422)
    expect(refused.body.details.causes).toMatchObject([{ field: 'spec.class' }])
  })

  test('a replacement that leaves owner and runner out keeps both', async () => {
    await create('bound')
    const { store } = server.database
    const key = { kind: 'Environment', namespace: 'default', name: 'bound' } as const
    const before = (await store.find(key))!
    const bound = await store.update({ ...before, spec: { ...before.spec, runner: 'here' } }, 'main')
    const { resourceVersion } = bound.metadata
    const body = { metadata: { name: 'bound', resourceVersion }, spec: { env: { A: '1' } } }
    const answer = await server.call('PUT', pathOf('environments', 'bound'), { ...as('ada'), body })
    expect(answer.status).toBe(200)
    expect(answer.body.spec).toMatchObject({ runner: 'here', env: { A: '1' } })
    expect(answer.body.metadata.annotations).toEqual({ 'bothy.dev/owner': 'ada' })
  })

  test('a replacement that says nothing of finalizers keeps those of runners; who means it takes them off', async () => {
    const { resourceVersion: _, ...made } = (await create('held')).body.metadata
    const { store } = server.database
    const key = { kind: 'Environment', namespace: 'default', name: 'held' } as const
    const before = (await store.find(key))!
    const finalizers = ['bothy.dev/runner', 'example.com/backup']
    await store.update({ ...before, metadata: { ...before.metadata, finalizers } }, 'main')
    const path = pathOf('environments', 'held')
    const put = async (who: 'ada' | 'admin', more: Json) => {
      const { resourceVersion } = (await store.find(key))!.metadata
      return server.call('PUT', path, {
        ...as(who),
        body: { metadata: { ...made, resourceVersion, ...more }, spec: {} },
      })
    }
    const silent = await put('ada', {})
    expect(silent.status).toBe(200)
    expect(silent.body.metadata.finalizers).toEqual(['bothy.dev/runner'])
    expect((await put('ada', { finalizers: [] })).status).toBe(403)
    expect((await put('admin', { finalizers: [] })).body.metadata.finalizers).toBeUndefined()
    const found = (await store.find(key))!
    await store.update({ ...found, metadata: { ...found.metadata, finalizers } }, 'main')
    const patched = await server.call('PATCH', path, {
      ...as('admin'),
      body: { metadata: { finalizers: null } },
      headers: MERGE,
    })
    expect(patched.body.metadata.finalizers).toBeUndefined()
  })

  test('a patch that leaves no object is refused as that', async () => {
    await create('whole')
    const path = pathOf('environments', 'whole')
    const answer = await server.call('PATCH', path, { ...as('ada'), body: '"text"', headers: MERGE })
    expect(answer.body).toMatchObject({ code: 400, details: { bothy: { code: 'body-no-object' } } })
  })

  test('merge patch changes, adds and removes; concurrent patches all arrive', async () => {
    await create('patched', { metadata: { labels: { old: 'x' } } })
    const path = pathOf('environments', 'patched')
    const patch = (body: Json) => server.call('PATCH', path, { ...as('ada'), body, headers: MERGE })
    const first = await patch({ metadata: { labels: { old: null, new: 'y' } }, spec: { env: { A: '1' } } })
    expect(first.status).toBe(200)
    expect(first.body.metadata.labels).toEqual({ new: 'y' })
    const keys = Array.from({ length: 5 }, (_, n) => `K${n}`)
    const all = await Promise.all(keys.map(key => patch({ spec: { env: { [key]: '1' } } })))
    expect(all.map(answer => answer.status)).toEqual(Array(5).fill(200))
    const { body } = await server.call('GET', path, as('ada'))
    expect(Object.keys(body.spec.env).sort()).toEqual(['A', ...keys])
    const { resourceVersion } = first.body.metadata
    expect((await patch({ metadata: { resourceVersion }, spec: { desired: 'Stopped' } })).status).toBe(409)
  })

  test('JSON patch works, a failed test is 422, other patches are 415', async () => {
    await create('pointed')
    const path = pathOf('environments', 'pointed')
    const patch = (type: string, body: Json) =>
      server.call('PATCH', path, { ...as('ada'), body, headers: { 'content-type': type } })
    const json = 'application/json-patch+json'
    const good = await patch(json, [
      { op: 'test', path: '/spec/desired', value: 'Running' },
      { op: 'add', path: '/spec/env/A', value: '1' },
    ])
    expect(good.body.spec.env).toEqual({ A: '1' })
    expect((await patch(json, [{ op: 'test', path: '/spec/desired', value: 'No' }])).status).toBe(422)
    expect((await patch(json, [{ op: 'explode', path: '/' }])).status).toBe(400)
    for (const type of ['application/strategic-merge-patch+json', 'text/plain'])
      expect((await patch(type, {})).body).toMatchObject({ code: 415, reason: 'UnsupportedMediaType' })
  })

  test('the status is a half of its own', async () => {
    const { body } = await create('status-half')
    const path = `${pathOf('environments', 'status-half')}/status`
    const next = {
      ...body,
      spec: { desired: 'Stopped' },
      status: { ...body.status, phase: 'Creating', epoch: 2 },
    }
    expect((await server.call('PUT', path, { ...as('ada'), body: next })).status).toBe(403)
    const written = await server.call('PUT', path, { ...as('admin'), body: next })
    expect(written.body.spec.desired).toBe('Running')
    expect(written.body.status).toMatchObject({ phase: 'Creating', epoch: 2 })
    expect(written.body.metadata.generation).toBe(1)
    const patch = { ...as('admin'), headers: MERGE, body: { status: { epoch: 1 } } }
    const fenced = await server.call('PATCH', path, patch)
    expect(fenced.status).toBe(409)
    expect(fenced.body.details.bothy.code).toBe('epoch-outdated')
    expect((await server.call('GET', path, as('eve'))).body.status.epoch).toBe(2)
  })
})
