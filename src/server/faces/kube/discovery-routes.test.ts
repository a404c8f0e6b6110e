import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Json, pathOf, ROOT, type ServerFixture, startServer } from '../../../../test/support/server.ts'
import { KIND_NAMES } from '../../../api/kinds/kind-names.ts'

let server: ServerFixture
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const as = (who: 'admin' | 'ada' | 'bob' | 'eve') => ({ token: server.tokens[who] })

/** Kinds under our own group. */
const OWN = Object.values(KIND_NAMES).filter(({ group }) => group === 'bothy.dev')

describe('discovery', () => {
  test('aggregated when asked for, plain otherwise, 304 when nothing changed', async () => {
    const plain = await server.call('GET', '/apis', as('eve'))
    expect(plain.body).toMatchObject({
      kind: 'APIGroupList',
      groups: expect.arrayContaining([expect.objectContaining({ name: 'bothy.dev' })]),
    })
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json'
    const aggregated = await server.call('GET', '/apis', { ...as('eve'), headers: { accept } })
    expect(aggregated.headers['content-type']).toBe(
      'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
    )
    expect(aggregated.body.items[0].versions[0].resources.map((each: Json) => each.resource)).toEqual([
      'environments',
      'environmentclasses',
      'snapshots',
      'runners',
      'organizations',
    ])
    const headers = { 'if-none-match': plain.headers['etag']! }
    expect((await server.call('GET', '/apis', { ...as('eve'), headers })).status).toBe(304)
    const resources = await server.call('GET', ROOT, as('eve'))
    expect(resources.body.resources.map((each: Json) => each.name)).toContain('environments/exec')
  })

  test('OpenAPI describes every kind with its group, version and kind', async () => {
    const index = await server.call('GET', '/openapi/v3', as('eve'))
    const url = index.body.paths['apis/bothy.dev/v1alpha1'].serverRelativeURL
    const { body } = await server.call('GET', url, as('eve'))
    const schema = body.components.schemas['dev.bothy.v1alpha1.Environment']
    expect(schema['x-kubernetes-group-version-kind']).toEqual([
      { group: 'bothy.dev', version: 'v1alpha1', kind: 'Environment' },
    ])
    expect(schema.properties.spec.properties.desired.enum).toEqual(['Running', 'Stopped'])
    const refs = [...JSON.stringify(body).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(
      match => match[1]!,
    )
    for (const ref of refs) expect(Object.keys(body.components.schemas)).toContain(ref)
  })

  test('OpenAPI v2 comes as JSON, and as the protobuf that old clients ask for', async () => {
    const json = await server.call('GET', '/openapi/v2', as('eve'))
    expect(json.body.definitions).toHaveProperty(['io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta'])
    const accept = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf'
    const protobuf = await server.call('GET', '/openapi/v2', { ...as('eve'), headers: { accept } })
    expect(protobuf.headers['content-type']).toBe(
      'application/com.github.proto-openapi.spec.v2.v1.0+protobuf',
    )
    expect(protobuf.headers['etag']).not.toBe(json.headers['etag'])
    const headers = { accept, 'if-none-match': protobuf.headers['etag']! }
    expect((await server.call('GET', '/openapi/v2', { ...as('eve'), headers })).status).toBe(304)
    const other = await server.call('GET', '/openapi/v2', { ...as('eve'), headers: { accept: 'text/html' } })
    expect(other.body).toMatchObject({ code: 406 })
  })

  test('the kinds are there as definitions, which nobody changes', async () => {
    const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
    const list = await server.call('GET', path, as('eve'))
    expect(list.body).toMatchObject({
      kind: 'CustomResourceDefinitionList',
      metadata: { resourceVersion: '1' },
    })
    const { body } = await server.call('GET', `${path}/environments.bothy.dev`, as('eve'))
    expect(body).toEqual(list.body.items[0])
    expect(body.spec).toMatchObject({ scope: 'Namespaced', names: { listKind: 'EnvironmentList' } })
    expect((await server.call('GET', `${path}/nothing`, as('eve'))).body).toMatchObject({
      reason: 'NotFound',
    })
    expect((await server.call('POST', path, { ...as('admin'), body })).status).toBe(405)
    const gone = await server.call('DELETE', `${path}/environments.bothy.dev`, as('admin'))
    expect(gone.body).toMatchObject({
      code: 405,
      message: `DELETE ${path}/environments.bothy.dev: this path takes GET`,
    })
    const services = await server.call('GET', '/api/v1/namespaces/kube-system/services', as('eve'))
    expect(services.body).toMatchObject({ kind: 'ServiceList', items: [] })
  })

  test('definitions are selected and watched like anything else', async () => {
    const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
    const namesOf = async (query: string) =>
      (await server.call('GET', `${path}?${query}`, as('eve'))).body.items.map(
        (each: Json) => each.metadata.name,
      )
    expect(await namesOf('fieldSelector=metadata.name%3Drunners.bothy.dev')).toEqual(['runners.bothy.dev'])
    expect(await namesOf('labelSelector=a%3Db')).toEqual([])
    // What kubectl asks before it takes an object as the parent of an ApplySet.
    expect(await namesOf('labelSelector=applyset.kubernetes.io%2Fis-parent-type')).toHaveLength(OWN.length)
    expect((await server.call('GET', `${path}?fieldSelector=spec.group%3Da`, as('eve'))).status).toBe(400)

    const one = 'watch=true&fieldSelector=metadata.name%3Drunners.bothy.dev&timeoutSeconds=1'
    const watched = async (query: string) => {
      const said = await text(await server.open(`${path}?${one}&${query}`, as('eve')))
      return said
        .split('\n')
        .filter(line => line !== '')
        .map(line => JSON.parse(line))
    }
    const added = { type: 'ADDED', object: { metadata: { name: 'runners.bothy.dev' } } }
    const ends = { metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } }
    const initial = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true'
    const [plain, marked, later] = await Promise.all([
      watched(''),
      watched(initial),
      watched('resourceVersion=1'),
    ])
    expect(plain).toMatchObject([added])
    expect(marked).toMatchObject([added, { type: 'BOOKMARK', object: ends }])
    expect(later).toEqual([])
  })

  test('only what comes and goes every day belongs to all: it can be deleted in one go', async () => {
    const { body } = await server.call('GET', ROOT, as('eve'))
    const all = body.resources.filter((each: Json) => each.categories?.includes('all'))
    expect(all.map((each: Json) => each.name)).toEqual(['environments'])
  })

  test('what is not served is a 404 Status; another method is 405', async () => {
    for (const path of ['/api/v1/pods', '/apis/apps/v1', '/nothing'])
      expect((await server.call('GET', path, as('eve'))).body).toMatchObject({ kind: 'Status', code: 404 })
    const answer = await server.call('PUT', pathOf('environments'), as('admin'))
    expect(answer.body).toMatchObject({ code: 405, reason: 'MethodNotAllowed' })
  })
})
