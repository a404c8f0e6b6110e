import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  APPLY,
  environment,
  type Json,
  MERGE,
  pathOf,
  type ServerFixture,
  startServer,
} from '../../../../test/support/server.ts'

describe('server-side apply over HTTP', () => {
  let server: ServerFixture
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server.close())

  const apply = (name: string, spec: Json, query: string, more: Json = {}) =>
    server.call('PATCH', `${pathOf('environments', name)}${more.subresource ?? ''}?${query}`, {
      token: server.tokens.admin,
      headers: APPLY,
      body: more.body ?? environment(name, { spec, metadata: more.metadata }),
    })
  const managers = (body: Json): Json =>
    Object.fromEntries(body.metadata.managedFields.map((each: Json) => [each.manager, each]))

  test('creates, changes, takes away what is no longer named, and keeps account', async () => {
    const made = await apply('otter', { env: { A: '1', B: '2' } }, 'fieldManager=ci')
    expect(made.status).toBe(201)
    expect(managers(made.body).ci).toMatchObject({
      operation: 'Apply',
      apiVersion: 'bothy.dev/v1alpha1',
      fieldsV1: { 'f:spec': { 'f:env': { 'f:A': {}, 'f:B': {} } } },
    })
    const again = await apply('otter', { env: { A: '1', B: '2' } }, 'fieldManager=ci')
    expect(again.status).toBe(200)
    expect(again.body).toEqual(made.body)
    const less = await apply('otter', { env: { A: '1' } }, 'fieldManager=ci')
    expect(less.body.spec.env).toEqual({ A: '1' })
    expect(less.body.spec.class).toBe('small')
  })

  test("conflicts name manager and field; force takes the field; another manager's fields stay", async () => {
    await apply('shared', { env: { A: '1', B: '1' } }, 'fieldManager=one')
    const refused = await apply('shared', { env: { A: '2', C: '3' } }, 'fieldManager=two')
    expect(refused.body).toMatchObject({
      code: 409,
      reason: 'Conflict',
      message: 'Apply failed with 1 conflict: conflict with "one": .spec.env.A',
      details: {
        causes: [{ reason: 'FieldManagerConflict', message: 'conflict with "one"', field: '.spec.env.A' }],
      },
    })
    const forced = await apply('shared', { env: { A: '2', C: '3' } }, 'fieldManager=two&force=true')
    expect(forced.body.spec.env).toEqual({ A: '2', B: '1', C: '3' })
    expect(managers(forced.body).one.fieldsV1).toEqual({ 'f:spec': { 'f:env': { 'f:B': {} } } })
  })

  test('updates of other kinds own what they change, a status with its own entry; the same again moves nothing', async () => {
    const created = await server.call('POST', `${pathOf('environments')}?fieldManager=maker`, {
      token: server.tokens.admin,
      body: environment('tracked', { spec: { env: { A: '1' } } }),
    })
    expect(managers(created.body).maker).toMatchObject({ operation: 'Update' })
    const patch = () =>
      server.call('PATCH', `${pathOf('environments', 'tracked')}/status?fieldManager=reporter`, {
        token: server.tokens.admin,
        headers: MERGE,
        body: { status: { phase: 'Starting' } },
      })
    const reported = await patch()
    expect(managers(reported.body).reporter).toMatchObject({
      subresource: 'status',
      fieldsV1: { 'f:status': { 'f:phase': {} } },
    })
    expect((await patch()).body).toEqual(reported.body)
    const conflicting = await apply('tracked', { env: { A: '2' } }, 'fieldManager=ci')
    expect(conflicting.body.message).toContain('conflict with "maker" using bothy.dev/v1alpha1: .spec.env.A')
  })

  test("a namespace keeps kubectl's manifest as it was written", async () => {
    const manifest = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'kept', labels: { a: '1' } } }
    const annotation = 'kubectl.kubernetes.io/last-applied-configuration'
    const annotations = { [annotation]: `${JSON.stringify(manifest)}\n` }
    const { token, path } = { token: server.tokens.admin, path: '/api/v1/namespaces' }
    const first = { ...manifest, metadata: { ...manifest.metadata, annotations } }
    expect((await server.call('POST', path, { token, body: first })).status).toBe(201)
    const labels = { a: '1', b: '2' }
    const body = { ...manifest, metadata: { name: 'kept', labels } }
    const put = () =>
      server.call('PATCH', `${path}/kept?fieldManager=kubectl&force=true`, { token, headers: APPLY, body })
    const { metadata } = (await put()).body
    expect(JSON.parse(metadata.annotations[annotation])).toEqual(body)
    expect((await put()).body.metadata.resourceVersion).toBe(metadata.resourceVersion)
  })

  test('a dry run stores nothing, neither of a new object nor of one that is there', async () => {
    const dry = await apply('ghost', {}, 'fieldManager=ci&dryRun=All')
    expect(dry.status).toBe(201)
    const read = await server.call('GET', pathOf('environments', 'ghost'), { token: server.tokens.admin })
    expect(read.status).toBe(404)
  })

  test('YAML is taken; what is no manifest is refused for what it is', async () => {
    const yaml =
      'apiVersion: bothy.dev/v1alpha1\nkind: Environment\nmetadata: {name: y}\nspec:\n  env: {A: "1"}\n'
    expect((await apply('y', {}, 'fieldManager=ci', { body: yaml })).status).toBe(201)
    const cases: [string, string, number, RegExp][] = [
      ['fieldManager=ci', 'spec: [', 400, /read the body/],
      ['fieldManager=ci', 'a: &x {}\nb: *x\n', 400, /aliases/],
      ['fieldManager=ci', 'just text', 400, /not an object/],
      ['fieldManager=ci', `a: ${'['.repeat(5000)}`, 400, /read the body/],
      ['fieldManager=ci', 'kind: Environment\n', 400, /manifest is undefined Environment/],
      ['fieldManager=ci&fieldValidation=Strict', `${yaml}  envv: {}\n`, 400, /unknown field "spec.envv"/],
      ['fieldManager=ci', `${yaml}  desired: Maybe\n`, 422, /spec.desired/],
      ['', yaml, 422, /fieldManager: is required/],
      [`fieldManager=${'x'.repeat(129)}`, yaml, 422, /fieldManager/],
    ]
    for (const [query, body, code, message] of cases)
      expect((await apply('y', {}, query, { body })).body, body).toMatchObject({
        code,
        message: expect.stringMatching(message),
      })
    const forced = await server.call('PATCH', `${pathOf('environments', 'y')}?force=true`, {
      token: server.tokens.admin,
      headers: MERGE,
      body: {},
    })
    expect(forced.body.code).toBe(422)
  })

  test('many at once on one object all get in', async () => {
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) => apply('busy', { env: { [`V${n}`]: '1' } }, `fieldManager=m${n}`)),
    )
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
    const { body } = await server.call('GET', pathOf('environments', 'busy'), { token: server.tokens.admin })
    expect(Object.keys(body.spec.env)).toHaveLength(12)
  })
})
