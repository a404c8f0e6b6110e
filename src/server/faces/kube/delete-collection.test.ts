import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  environment,
  type Json,
  pathOf,
  ROOT,
  type ServerFixture,
  startServer,
} from '../../../../test/support/server.ts'

let server: ServerFixture
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

type Who = 'admin' | 'ada' | 'bob' | 'eve'
const ALL = pathOf('environments')
const remove = (who: Who, query = '', body?: Json) =>
  server.call('DELETE', `${ALL}${query}`, {
    token: server.tokens[who],
    ...(body === undefined ? {} : { body }),
  })
const names = (list: Json): string[] => list.items.map((item: Json) => item.metadata.name)
const left = async () => names((await server.call('GET', ALL, { token: server.tokens.eve })).body)

beforeEach(async () => {
  await remove('admin')
  for (const [who, name, tier] of [
    ['ada', 'a1', 'dev'],
    ['ada', 'a2', 'prod'],
    ['bob', 'b1', 'dev'],
  ] as const)
    await server.call('POST', ALL, {
      token: server.tokens[who],
      body: environment(name, { metadata: { labels: { tier } } }),
    })
  expect(await left()).toEqual(['a1', 'a2', 'b1'])
})

test('everything goes, and the answer is the list of it', async () => {
  const answer = await remove('admin')
  expect(answer.status).toBe(200)
  expect(answer.body).toMatchObject({
    kind: 'EnvironmentList',
    metadata: { resourceVersion: expect.any(String) },
  })
  expect(names(answer.body)).toEqual(['a1', 'a2', 'b1'])
  expect(await left()).toEqual([])
  expect(names((await remove('admin')).body)).toEqual([])
})

test.each<[string, string, string[]]>([
  ['labels', '?labelSelector=tier%3Ddev', ['a1', 'b1']],
  ['sets of labels', '?labelSelector=tier+notin+(dev)', ['a2']],
  ['fields', '?fieldSelector=metadata.name!%3Da1', ['a2', 'b1']],
  ['a limit', '?limit=2', ['a1', 'a2']],
])('what is selected by %s goes, and nothing else', async (_, query, gone) => {
  expect(names((await remove('admin', query)).body)).toEqual(gone)
  expect(await left()).toEqual(['a1', 'a2', 'b1'].filter(name => !gone.includes(name)))
})

test('who may not delete one of them deletes none', async () => {
  expect((await remove('ada')).body).toMatchObject({ code: 403, details: { name: 'b1' } })
  for (const query of ['?labelSelector=tier%3Dprod', '?labelSelector=tier%3Dnone'])
    expect((await remove('eve', query)).status).toBe(403)
  expect(await left()).toHaveLength(3)
  expect(names((await remove('ada', '?labelSelector=tier%3Dprod')).body)).toEqual(['a2'])
})

test('a dry run, preconditions and propagation hold for each', async () => {
  expect(names((await remove('admin', '?dryRun=All')).body)).toEqual(['a1', 'a2', 'b1'])
  expect(await left()).toHaveLength(3)
  const { uid } = (await server.call('GET', `${ALL}/a1`, { token: server.tokens.eve })).body.metadata
  expect((await remove('admin', '', { preconditions: { uid } })).status).toBe(409)
  expect((await remove('admin', '', { propagationPolicy: 'Never' })).status).toBe(422)
  expect(await left()).toHaveLength(3)
  const waiting = await remove('admin', '?labelSelector=tier%3Dprod', { propagationPolicy: 'Foreground' })
  expect(waiting.body.items[0].metadata).toMatchObject({
    finalizers: ['foregroundDeletion'],
    deletionTimestamp: expect.any(String),
  })
  expect(await left()).toHaveLength(3)
})

test('selectors are read as strictly as for a list, and organizations are deleted one by one', async () => {
  expect((await remove('admin', '?fieldSelector=spec.unknown%3Da')).status).toBe(400)
  expect((await remove('admin', '?labelSelector=%3D%3D')).status).toBe(400)
  expect(await left()).toHaveLength(3)
  const token = server.tokens.admin
  expect((await server.call('DELETE', `${ROOT}/organizations`, { token })).status).toBe(405)
  expect((await server.call('DELETE', '/api/v1/namespaces', { token })).status).toBe(405)
  expect((await server.call('DELETE', `${ROOT}/environments`, { token })).status).toBe(405)
})
