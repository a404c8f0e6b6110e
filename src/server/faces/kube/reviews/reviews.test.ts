import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  environment,
  pathOf,
  type ServerFixture,
  startServer,
  type TestRunner,
} from '../../../../../test/support/server.ts'
import { join, message, string } from '../protobuf/writer.ts'

let server: ServerFixture
let runner: TestRunner
beforeAll(async () => {
  server = await startServer()
  runner = await server.addRunner('here')
  const created = await server.call('POST', pathOf('environments'), {
    token: server.tokens.ada,
    body: environment('otter'),
  })
  expect(created.status).toBe(201)
})
afterAll(() => server.close())

const ACCESS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
const RULES = '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews'
const SELF = '/apis/authentication.k8s.io/v1/selfsubjectreviews'
const ENVIRONMENTS = { group: 'bothy.dev', resource: 'environments', namespace: 'default' }

const ask = async (token: string, spec: object) => {
  const body = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec }
  const answer = await server.call('POST', ACCESS, { token, body })
  expect(answer.status).toBe(201)
  expect(answer.body).toMatchObject(body)
  return answer.body.status
}
const may = (token: string, attributes: object) =>
  ask(token, { resourceAttributes: { ...ENVIRONMENTS, ...attributes } })

describe('SelfSubjectAccessReview', () => {
  test('is answered about a kind, about an object, and about everything', async () => {
    const { ada, bob, admin, eve } = server.tokens
    expect(await may(bob, { verb: 'delete' })).toEqual({
      allowed: true,
      reason: 'bob is member: own ones only',
    })
    expect(await may(bob, { verb: 'delete', name: 'otter' })).toEqual({
      allowed: false,
      reason: 'it belongs to somebody else',
    })
    expect(await may(ada, { verb: 'delete', name: 'otter' })).toEqual({
      allowed: true,
      reason: 'ada is member',
    })
    expect(await may(bob, { verb: 'delete', name: 'not-there' })).toMatchObject({ allowed: true })
    expect(await may(bob, { verb: 'create', name: 'otter' })).toMatchObject({ allowed: true })
    expect(await may(ada, { verb: '*' })).toMatchObject({ allowed: false })
    const all = { verb: '*', group: '*', resource: '*' }
    expect(await may(admin, all)).toEqual({ allowed: true, reason: 'root is admin' })
    expect(await may(eve, { ...all, verb: 'get' })).toMatchObject({ allowed: true })
    expect(await may(eve, { ...all, verb: 'update' })).toEqual({
      allowed: false,
      reason: 'viewers only read',
    })
  })

  test('knows subresources, views and what is not served', async () => {
    const { ada, admin } = server.tokens
    expect(await may(ada, { verb: 'create', subresource: 'exec', name: 'otter' })).toMatchObject({
      allowed: true,
    })
    expect(await may(admin, { verb: 'create', subresource: 'exec', name: 'otter' })).toEqual({
      allowed: false,
      reason: 'only the owner enters an environment',
    })
    expect(await may(ada, { verb: 'patch', subresource: 'status' })).toMatchObject({ allowed: false })
    expect(await may(ada, { verb: 'get', subresource: 'nonsense' })).toMatchObject({ allowed: false })
    expect(await may(admin, { verb: 'create', subresource: '*' })).toMatchObject({ allowed: false })
    expect(await may(admin, { verb: 'create', group: '', resource: 'namespaces' })).toMatchObject({
      allowed: true,
    })
    expect(await may(ada, { verb: 'create', group: '', resource: 'namespaces' })).toMatchObject({
      allowed: false,
    })
    expect(await may(admin, { verb: 'get', version: 'v9' })).toEqual({
      allowed: false,
      reason: 'the server has no such resource',
    })
    expect(await may(ada, { verb: 'toString' })).toMatchObject({ allowed: false })
    expect(await may(ada, { verb: 'get', name: '../\u0000' })).toMatchObject({ allowed: true })
  })

  test('tells runners nothing of what does not concern them', async () => {
    const token = await runner.token()
    expect(await may(token, { verb: 'list' })).toMatchObject({ allowed: true })
    const hidden = await may(token, { verb: 'get', name: 'otter' })
    expect(hidden).toMatchObject({ allowed: false })
    expect(await may(token, { verb: 'get', name: 'not-there' })).toEqual(hidden)
  })

  test('is answered about paths', async () => {
    const path = (path: string, verb: string) =>
      ask(server.tokens.eve, { nonResourceAttributes: { path, verb } })
    expect(await path('/openapi/v3', 'get')).toMatchObject({ allowed: true })
    expect(await path('/openapi/v3', 'post')).toMatchObject({ allowed: false })
    expect(await path('/runner/enroll', 'get')).toMatchObject({ allowed: false })
  })

  test('is taken as protobuf, and answered in JSON', async () => {
    const attributes = join(
      string(1, 'default'),
      string(2, 'create'),
      string(3, 'bothy.dev'),
      string(5, 'environments'),
    )
    const review = message(2, message(1, attributes))
    const type = join(string(1, 'authorization.k8s.io/v1'), string(2, 'SelfSubjectAccessReview'))
    const body = join(Buffer.from('k8s\0'), message(1, type), message(2, review)).toString('latin1')
    const headers = {
      'content-type': 'application/vnd.kubernetes.protobuf',
      accept: 'application/vnd.kubernetes.protobuf,application/json',
    }
    const answer = await server.call('POST', ACCESS, { token: server.tokens.ada, headers, body })
    expect(answer).toMatchObject({
      status: 201,
      body: { spec: { resourceAttributes: { verb: 'create' } }, status: { allowed: true } },
    })
  })

  test('must ask about one thing, and be one', async () => {
    const token = server.tokens.ada
    const invalid = await server.call('POST', ACCESS, { token, body: { spec: {} } })
    expect(invalid.body).toMatchObject({
      code: 422,
      reason: 'Invalid',
      details: { causes: [{ field: 'spec' }] },
    })
    const other = await server.call('POST', ACCESS, { token, body: { kind: 'SelfSubjectReview' } })
    expect(other.body).toMatchObject({ code: 400, reason: 'BadRequest' })
    expect((await server.call('GET', ACCESS, { token })).body).toMatchObject({ code: 405 })
    expect((await server.call('POST', ACCESS, { body: {} })).status).toBe(401)
  })
})

test('SelfSubjectRulesReview lists what they may do', async () => {
  const body = { spec: { namespace: 'default' } }
  const { status } = (await server.call('POST', RULES, { token: server.tokens.eve, body })).body
  const verbs = new Set(status.resourceRules.flatMap((rule: { verbs: string[] }) => rule.verbs))
  expect(verbs).toEqual(new Set(['create', 'get', 'list', 'watch']))
  expect(status.resourceRules).toContainEqual({
    verbs: ['get', 'list', 'watch'],
    apiGroups: ['bothy.dev'],
    resources: ['environments'],
  })
  expect(status.nonResourceRules[0].nonResourceURLs).toContain('/apis/*')
  const none = await server.call('POST', RULES, { token: server.tokens.eve, body: { spec: {} } })
  expect(none.body).toMatchObject({ code: 422, details: { causes: [{ field: 'spec.namespace' }] } })
})

test('SelfSubjectReview says who they are', async () => {
  const ada = await server.call('POST', SELF, { token: server.tokens.ada, body: {} })
  expect(ada.body).toMatchObject({
    kind: 'SelfSubjectReview',
    status: { userInfo: { username: 'ada', groups: ['bothy:member', 'system:authenticated'] } },
  })
  const answer = await server.call('POST', SELF, { token: await runner.token(), body: {} })
  expect(answer.body.status.userInfo).toMatchObject({
    username: 'runner:default/here',
    uid: runner.resource.metadata.uid,
  })
})
