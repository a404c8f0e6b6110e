import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  environment,
  type Json,
  MERGE,
  ROOT,
  type ServerFixture,
  startServer,
} from '../../test/support/server.ts'

let server: ServerFixture
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

type Who = 'admin' | 'ada' | 'eve'
const call = (
  method: string,
  path: string,
  body?: Json,
  who: Who = 'admin',
  headers?: Record<string, string>,
) =>
  server.call(method, path, {
    token: server.tokens[who],
    ...(body === undefined ? {} : { body }),
    ...(headers === undefined ? {} : { headers }),
  })
const NAMESPACES = '/api/v1/namespaces'
const makeNamespace = (name: string) => call('POST', NAMESPACES, { metadata: { name } })
const makeEnvironment = (namespace: string, name: string, query = '') =>
  call('POST', `${ROOT}/namespaces/${namespace}/environments${query}`, environment(name), 'ada')

test('nothing is made in a namespace that is not there, and the refusal is Kubernetes’ own', async () => {
  for (const query of ['', '?dryRun=All'])
    expect((await makeEnvironment('nowhere', 'x', query)).body).toMatchObject({
      code: 404,
      reason: 'NotFound',
      message: 'namespaces "nowhere" not found',
      details: { kind: 'namespaces', name: 'nowhere' },
    })
  expect((await makeNamespace('somewhere')).status).toBe(201)
  expect((await makeEnvironment('somewhere', 'x')).status).toBe(201)
})

test('who may not make something there is told that first', async () => {
  const refused = await call('POST', `${ROOT}/namespaces/nowhere/environments`, environment('x'), 'eve')
  expect(refused.status).toBe(403)
})

test('in one that is being deleted nothing new is made, but reports of how it goes', async () => {
  await makeNamespace('leaving')
  const deleted = await call('DELETE', `${NAMESPACES}/leaving`)
  expect(deleted.body.metadata).toMatchObject({
    deletionTimestamp: expect.any(String),
    finalizers: ['bothy.dev/contents'],
  })
  expect((await makeEnvironment('leaving', 'x')).body).toMatchObject({
    code: 403,
    reason: 'Forbidden',
    message:
      'environments.bothy.dev "x" is forbidden: unable to create new content in namespace leaving because it is being terminated',
    details: { causes: [{ reason: 'NamespaceTerminating', field: 'metadata.namespace' }] },
  })
  const told = await call('POST', '/api/v1/namespaces/leaving/events', {
    metadata: { name: 'told' },
    involvedObject: { kind: 'Environment', name: 'x', namespace: 'leaving' },
  })
  expect(told.status).toBe(201)
})

test('every organization is held until it is empty, whatever its manifest says', async () => {
  await makeNamespace('held')
  const path = `${NAMESPACES}/held`
  const patched = await call(
    'PATCH',
    path,
    { metadata: { finalizers: null, labels: { a: 'b' } } },
    'admin',
    MERGE,
  )
  expect(patched.body.metadata).toMatchObject({ finalizers: ['bothy.dev/contents'], labels: { a: 'b' } })
  const { body: latest } = await call('GET', path)
  const { finalizers: _, ...metadata } = latest.metadata
  expect((await call('PUT', path, { ...latest, metadata })).body.metadata.finalizers).toEqual([
    'bothy.dev/contents',
  ])
  const tried = await call('POST', `${ROOT}/organizations?dryRun=All`, { metadata: { name: 'tried' } })
  expect(tried.body.metadata.finalizers).toEqual(['bothy.dev/contents'])
})

test('the default one stays, members make and delete none, everybody sees them', async () => {
  expect((await call('DELETE', `${NAMESPACES}/default`)).body).toMatchObject({
    code: 403,
    message: expect.stringContaining('always exists'),
  })
  expect((await call('DELETE', `${ROOT}/organizations/default?dryRun=All`)).status).toBe(403)
  expect((await call('POST', NAMESPACES, { metadata: { name: 'mine' } }, 'ada')).status).toBe(403)
  await makeNamespace('theirs')
  expect((await call('DELETE', `${NAMESPACES}/theirs`, undefined, 'ada')).status).toBe(403)
  const seen = await call('GET', NAMESPACES, undefined, 'eve')
  expect(seen.body.items.map((item: Json) => item.metadata.name)).toEqual(
    expect.arrayContaining(['default', 'theirs']),
  )
})

test('runners see none', async () => {
  const token = await (await server.addRunner('here')).token()
  expect((await server.call('GET', NAMESPACES, { token })).status).toBe(403)
  expect((await server.call('GET', `${NAMESPACES}/default`, { token })).status).toBe(404)
})

test('a view speaks of its own objects', async () => {
  await makeNamespace('twice')
  const again = (await makeNamespace('twice')).body
  expect(again).toMatchObject({ message: 'namespaces "twice" already exists', reason: 'AlreadyExists' })
  expect(again.details).toMatchObject({ name: 'twice', kind: 'namespaces' })
  expect(again.details.group).toBeUndefined()
  const missing = [
    [`${NAMESPACES}/none`, 'namespaces "none" not found'],
    [`${ROOT}/organizations/none`, 'organizations.bothy.dev "none" not found'],
    ['/api/v1/namespaces/default/events/none', 'events "none" not found'],
  ] as const
  for (const [path, message] of missing)
    expect((await call('GET', path)).body).toMatchObject({ code: 404, message })
})

test('members block the deletion only of what they may delete, and leave the collector its finalizers', async () => {
  const path = `${ROOT}/namespaces/default/environments`
  const make = async (name: string, token: string, metadata: Json = {}) =>
    server.call('POST', path, { token, body: environment(name, { metadata }) })
  const [mine, theirs] = [await make('mine', server.tokens.ada), await make('theirs', server.tokens.bob)]
  const owned = (owner: Json, blockOwnerDeletion: boolean) => {
    const { apiVersion, kind, metadata } = owner.body
    const { name, uid } = metadata
    return { ownerReferences: [{ apiVersion, kind, name, uid, blockOwnerDeletion }] }
  }
  expect((await make('b1', server.tokens.ada, owned(theirs, true))).status).toBe(403)
  expect((await make('b2', server.tokens.ada, owned(theirs, false))).status).toBe(201)
  expect((await make('b3', server.tokens.ada, owned(mine, true))).status).toBe(201)
  expect((await make('b4', server.tokens.admin, owned(theirs, true))).status).toBe(201)
  const patch = (name: string, metadata: Json) => call('PATCH', `${path}/${name}`, { metadata }, 'ada', MERGE)
  expect((await patch('b2', owned(theirs, true))).status).toBe(403)
  expect((await patch('b3', { labels: { a: 'b' } })).status).toBe(200)
  expect((await patch('mine', { finalizers: ['foregroundDeletion'] })).status).toBe(403)
  const asked = await call('DELETE', `${path}/mine`, { propagationPolicy: 'Foreground' }, 'ada')
  expect(asked.body.metadata.finalizers).toEqual(['foregroundDeletion'])
  expect((await patch('mine', { finalizers: null })).status).toBe(403)
})
