// Kubernetes' client library for JavaScript: its generic API, and the calls made for built-in kinds.
import {
  ApiException,
  ApisApi,
  AuthorizationV1Api,
  CoreV1Api,
  CustomObjectsApi,
  EventsV1Api,
  type KubernetesObject,
  KubernetesObjectApi,
  PatchStrategy,
  setHeaderOptions,
  VersionApi,
} from '@kubernetes/client-node'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { kubeConfig } from '../support/client-node.ts'
import { environment, type Json, type ServerFixture, startServer } from '../support/server.ts'

const COLLECTION = { group: 'bothy.dev', version: 'v1alpha1', namespace: 'default', plural: 'environments' }

let server: ServerFixture
let api: KubernetesObjectApi

beforeAll(async () => {
  server = await startServer()
  api = KubernetesObjectApi.makeApiClient(kubeConfig(server))
})
afterAll(() => server?.close())

type Object_ = KubernetesObject & { spec?: Json; status?: Json }
const object = (name: string, more: Json = {}): Object_ =>
  environment(name, { ...more, metadata: { namespace: 'default', ...more.metadata } })
const header = (name: string) => ({
  ...{ apiVersion: 'bothy.dev/v1alpha1', kind: 'Environment', metadata: { name, namespace: 'default' } },
})

/** What the server says of a request that fails. */
async function refusal(request: Promise<unknown>): Promise<Json> {
  const error = await request.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(ApiException)
  const { body, code } = error as ApiException<string>
  const status: Json = typeof body === 'string' ? JSON.parse(body) : body
  expect(status).toMatchObject({ kind: 'Status', status: 'Failure', code })
  return status
}

describe('KubernetesObjectApi', () => {
  afterEach(async () => {
    for (const { metadata } of (await api.list('bothy.dev/v1alpha1', 'Environment', 'default')).items)
      await api.delete(header(metadata!.name!))
  })

  test('creates, reads, replaces, deletes', async () => {
    const created = await api.create(object('a', { spec: { env: { A: '1' } } }))
    expect(created).toMatchObject({
      kind: 'Environment',
      metadata: { generation: 1 },
      spec: { env: { A: '1' } },
    })
    expect(created.metadata?.creationTimestamp).toBeDefined()
    const read = await api.read<Object_>(header('a'))
    expect(read.metadata?.uid).toBe(created.metadata?.uid)
    const replaced = await api.replace<Object_>({ ...read, spec: { ...read.spec, desired: 'Stopped' } })
    expect(replaced).toMatchObject({ metadata: { generation: 2 }, spec: { desired: 'Stopped' } })
    expect(await refusal(api.replace(read))).toMatchObject({ code: 409, reason: 'Conflict' })
    expect(await refusal(api.create(object('a')))).toMatchObject({ code: 409, reason: 'AlreadyExists' })
    expect(await api.create(object('dry'), undefined, 'All')).toMatchObject({ metadata: { name: 'dry' } })
    await api.delete(header('a'))
    expect(await refusal(api.read(header('a')))).toMatchObject({ code: 404, reason: 'NotFound' })
    expect(await refusal(api.delete(header('a')))).toMatchObject({ code: 404, reason: 'NotFound' })
  })

  test('lists, by label and field, in pages', async () => {
    for (const name of ['a', 'b', 'c']) await api.create(object(name, { metadata: { labels: { name } } }))
    const list = (field?: string, label?: string, limit?: number, from?: string) =>
      api.list(
        'bothy.dev/v1alpha1',
        'Environment',
        'default',
        ...[undefined, undefined, undefined],
        field,
        label,
        limit,
        from,
      )
    const names = ({ items }: { items: KubernetesObject[] }) => items.map(each => each.metadata?.name)
    expect(names(await list())).toEqual(['a', 'b', 'c'])
    expect(names(await list('metadata.name=b'))).toEqual(['b'])
    expect(names(await list(undefined, 'name in (a, c)'))).toEqual(['a', 'c'])
    // As raw JSON: the library's own type of such a list has no place for the token.
    const custom = kubeConfig(server).makeApiClient(CustomObjectsApi)
    const page = (from: Json): Promise<Json> =>
      custom.listNamespacedCustomObject({ ...COLLECTION, limit: 2, ...from })
    const first = await page({})
    await api.create(object('bb'))
    const second = await page({ _continue: first.metadata.continue })
    // As of the first page: what came in between is not on the second.
    expect([names(first), names(second)]).toEqual([['a', 'b'], ['c']])
    expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion)
    expect(await refusal(list('spec.nonsense=1'))).toMatchObject({ code: 400, reason: 'BadRequest' })
    expect(await refusal(list(undefined, undefined, 2, 'forged'))).toMatchObject({
      code: 400,
      reason: 'BadRequest',
    })
  })

  const patch = (body: Json, strategy: PatchStrategy, manager?: string, force?: boolean, dryRun?: string) =>
    api.patch<Object_>(body, undefined, dryRun, manager, force, strategy)

  test('patches by merging', async () => {
    await api.create(object('a', { spec: { env: { A: '1', B: '2' } } }))
    const patched = await patch(object('a', { spec: { env: { A: null, C: '3' } } }), PatchStrategy.MergePatch)
    expect(patched.spec.env).toEqual({ B: '2', C: '3' })
    expect(await refusal(patch(object('a'), PatchStrategy.StrategicMergePatch))).toMatchObject({
      ...{ code: 415, reason: 'UnsupportedMediaType' },
    })
    expect(
      await refusal(patch(object('a', { spec: { desired: 'Flying' } }), PatchStrategy.MergePatch)),
    ).toMatchObject({
      ...{ code: 422, reason: 'Invalid' },
      details: {
        kind: 'Environment',
        name: 'a',
        causes: [{ field: 'spec.desired', reason: 'FieldValueNotSupported' }],
      },
    })
  })

  test('applies', async () => {
    const apply = (env: Json, manager: string, force?: boolean) =>
      patch(object('a', { spec: { env } }), PatchStrategy.ServerSideApply, manager, force)
    expect(await apply({ A: '1', B: '2' }, 'one')).toMatchObject({ metadata: { generation: 1 } })
    const conflict = await refusal(apply({ A: '9' }, 'two'))
    expect(conflict).toMatchObject({
      ...{ code: 409, reason: 'Conflict' },
      details: { causes: [{ reason: 'FieldManagerConflict', field: '.spec.env.A' }] },
    })
    expect((await apply({ A: '9' }, 'two', true)).spec.env).toEqual({ A: '9', B: '2' })
    expect((await apply({}, 'one')).spec.env).toEqual({ A: '9' })
    const dry = await patch(
      object('a', { spec: { env: { A: '0' } } }),
      PatchStrategy.ServerSideApply,
      'two',
      false,
      'All',
    )
    expect(dry.spec.env).toEqual({ A: '0' })
    const stored = await api.read<Object_>(header('a'))
    expect(stored.spec.env).toEqual({ A: '9' })
    expect(stored.metadata?.managedFields?.map(each => [each.manager, each.operation])).toContainEqual([
      'two',
      'Apply',
    ])
  })
})

test('custom objects: JSON patch, status, collections', async () => {
  const custom = kubeConfig(server, { user: 'admin' }).makeApiClient(CustomObjectsApi)
  const where = COLLECTION
  const named = { ...where, name: 'custom' }
  await custom.createNamespacedCustomObject({ ...where, body: environment('custom') })
  const operations = [
    { op: 'test', path: '/spec/desired', value: 'Running' },
    { op: 'replace', path: '/spec/desired', value: 'Stopped' },
  ]
  expect(await custom.patchNamespacedCustomObject({ ...named, body: operations })).toMatchObject({
    spec: { desired: 'Stopped' },
  })
  expect(await refusal(custom.patchNamespacedCustomObject({ ...named, body: operations }))).toMatchObject({
    code: 422,
    reason: 'Invalid',
  })
  const merge = setHeaderOptions('Content-Type', PatchStrategy.MergePatch)
  const status = { status: { phase: 'Stopped' }, spec: { desired: 'Running' } }
  expect(await custom.patchNamespacedCustomObjectStatus({ ...named, body: status }, merge)).toMatchObject({
    ...{ status: { phase: 'Stopped' }, spec: { desired: 'Stopped' } },
  })
  expect(
    await custom.listClusterCustomObject({ group: 'bothy.dev', version: 'v1alpha1', plural: 'environments' }),
  ).toMatchObject({
    ...{ kind: 'EnvironmentList', items: [{ metadata: { name: 'custom' } }] },
  })
  await custom.deleteCollectionNamespacedCustomObject({ ...where, labelSelector: 'none=such' })
  expect(await custom.getNamespacedCustomObject(named)).toMatchObject({ metadata: { name: 'custom' } })
  await custom.deleteCollectionNamespacedCustomObject(where)
  expect(await custom.listNamespacedCustomObject(where)).toMatchObject({ items: [] })
})

test('built-in kinds: version, groups, namespaces, events, access', async () => {
  const config = kubeConfig(server)
  const admin = kubeConfig(server, { user: 'admin' })
  expect(await config.makeApiClient(VersionApi).getCode()).toMatchObject({ major: '1' })
  const { groups } = await config.makeApiClient(ApisApi).getAPIVersions()
  expect(groups.map(each => each.name)).toEqual(
    expect.arrayContaining(['bothy.dev', 'events.k8s.io', 'authorization.k8s.io']),
  )
  const core = admin.makeApiClient(CoreV1Api)
  await core.createNamespace({ body: { metadata: { name: 'library' } } })
  expect(await core.readNamespace({ name: 'library' })).toMatchObject({ status: { phase: 'Active' } })
  const { items } = await core.listNamespace()
  expect(items.map(each => each.metadata?.name)).toContain('library')
  await core.createNamespacedEvent({
    namespace: 'library',
    body: {
      ...{ metadata: { name: 'seen' }, reason: 'Seen', message: 'by the library', type: 'Normal' },
      involvedObject: { kind: 'Namespace', name: 'library', namespace: 'library' },
    },
  })
  expect((await core.listNamespacedEvent({ namespace: 'library' })).items).toMatchObject([
    { message: 'by the library' },
  ])
  const events = await config.makeApiClient(EventsV1Api).listNamespacedEvent({ namespace: 'library' })
  expect(events.items).toMatchObject([{ note: 'by the library', regarding: { kind: 'Namespace' } }])
  const review = (verb: string, resource: string) =>
    config.makeApiClient(AuthorizationV1Api).createSelfSubjectAccessReview({
      body: { spec: { resourceAttributes: { verb, group: 'bothy.dev', resource, namespace: 'default' } } },
    })
  expect((await review('create', 'environments')).status?.allowed).toBe(true)
  expect((await review('create', 'runners')).status?.allowed).toBe(false)
})
