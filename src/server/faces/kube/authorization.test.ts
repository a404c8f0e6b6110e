// Every door that leads to an object, tried by those for whom it is not meant: verbs, patch types, views, collections,
// owner references, reports of runners. What is decided is tested in `server/authorization.test.ts`; here, that nothing
// passes around it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  APPLY,
  environment,
  JSON_PATCH,
  type Json,
  MERGE,
  pathOf,
  ROOT,
  type ServerFixture,
  startServer,
  type TestRunner,
} from '../../../../test/support/server.ts'

let server: ServerFixture
let runner: TestRunner
beforeAll(async () => {
  server = await startServer()
  runner = await server.addRunner('here')
})
afterAll(() => server.close())

const ALL = pathOf('environments')
const OWNER = 'bothy.dev/owner'
const STRATEGIC = { 'content-type': 'application/strategic-merge-patch+json' }
type User = keyof ServerFixture['tokens']

const call = async (who: User | 'runner', method: string, path: string, body?: unknown, headers = {}) => {
  const token = who === 'runner' ? await runner.token() : server.tokens[who]
  return server.call(method, path, { token, ...(body === undefined ? {} : { body }), headers })
}
let count = 0
/** An environment of ada's. */
const make = async (metadata: Json = {}): Promise<Json> => {
  const made = await call('ada', 'POST', ALL, environment(`e-${count++}`, { metadata }))
  expect(made.status).toBe(201)
  return made.body
}
const at = ({ metadata }: Json, sub = '') => `${pathOf('environments', metadata.name)}${sub}`
/** The ways to write `metadata` into an object that is there. */
const doors = (
  object: Json,
  metadata: Json,
): readonly [string, string, unknown, Record<string, string>][] => [
  ['PUT', at(object), { ...object, metadata: { ...object.metadata, ...metadata } }, {}],
  ['PATCH', at(object), { metadata }, MERGE],
  [
    ...(['PATCH', at(object)] as const),
    Object.entries(metadata).map(([key, value]) => ({ op: 'add', path: `/metadata/${key}`, value })),
    JSON_PATCH,
  ],
  [
    'PATCH',
    `${at(object)}?fieldManager=m&force=true`,
    environment(object.metadata.name, { metadata }),
    APPLY,
  ],
]

describe('owners', () => {
  test('nobody gives an environment away, nor takes one, by any door', async () => {
    const object = await make()
    for (const who of ['ada', 'admin', 'bob'] as const)
      for (const [method, path, body, headers] of doors(object, { annotations: { [OWNER]: 'bob' } }))
        expect((await call(who, method, path, body, headers)).status, `${who} ${method}`).toBe(403)
    for (const [method, path, body, headers] of doors(object, { annotations: {} }))
      expect((await call('ada', method, path, body, headers)).body.metadata.annotations, method).toEqual({
        [OWNER]: 'ada',
      })
  })

  test('whoever creates is the owner, whatever the body says, also by apply', async () => {
    const metadata = { annotations: { [OWNER]: 'bob' } }
    const posted = await make(metadata)
    const applied = await call(
      'ada',
      'PATCH',
      `${ALL}/applied?fieldManager=m`,
      environment('applied', { metadata }),
      APPLY,
    )
    expect(applied.status).toBe(201)
    for (const { metadata } of [posted, applied.body]) expect(metadata.annotations[OWNER]).toBe('ada')
  })

  test('another member and a viewer write nothing, by any door', async () => {
    const object = await make()
    const forged = [
      {
        manager: 'x',
        operation: 'Update',
        apiVersion: object.apiVersion,
        fieldsType: 'FieldsV1',
        fieldsV1: { 'f:spec': {} },
      },
    ]
    for (const who of ['bob', 'eve'] as const) {
      for (const metadata of [{ labels: { a: 'b' } }, { finalizers: ['x/y'] }, { ownerReferences: [] }])
        for (const [method, path, body, headers] of doors(object, metadata))
          expect((await call(who, method, path, body, headers)).status, `${who} ${method}`).toBe(403)
      const change = { metadata: { managedFields: forged, labels: { a: 'b' } } }
      expect((await call(who, 'PATCH', at(object), change, MERGE)).status).toBe(403)
      expect((await call(who, 'PATCH', at(object, '/status'), { status: { epoch: 9 } }, MERGE)).status).toBe(
        403,
      )
      expect((await call(who, 'DELETE', at(object))).status).toBe(403)
      expect((await call(who, 'DELETE', ALL)).status).toBe(403)
    }
    // His own one is among those that the collection has, and stays too.
    expect((await call('bob', 'POST', ALL, environment('bobs'))).status).toBe(201)
    expect((await call('bob', 'DELETE', ALL)).status).toBe(403)
    for (const path of [at(object), `${ALL}/bobs`]) {
      const left = (await call('eve', 'GET', path)).body
      expect(left.metadata).not.toHaveProperty('deletionTimestamp')
    }
    expect((await call('eve', 'GET', at(object))).body.metadata.resourceVersion).toBe(
      object.metadata.resourceVersion,
    )
  })

  test('the status is not its owner’s, neither by its own door nor by the main one', async () => {
    const object = await make()
    const status = { phase: 'Running', epoch: 7 }
    for (const [method, body, headers] of [
      ['PUT', { ...object, status }, {}],
      ['PATCH', { status }, MERGE],
      ['PATCH', [{ op: 'replace', path: '/status/epoch', value: 7 }], JSON_PATCH],
    ] as const) {
      expect((await call('ada', method, at(object, '/status'), body, headers)).status).toBe(403)
      expect((await call('ada', method, at(object), body, headers)).body.status).toMatchObject({
        phase: 'Pending',
        epoch: 0,
      })
    }
    const apply = { ...environment(object.metadata.name), status }
    expect((await call('ada', 'PATCH', `${at(object, '/status')}?fieldManager=m`, apply, APPLY)).status).toBe(
      403,
    )
  })
})

describe('owner references', () => {
  const reference = ({ apiVersion, kind, metadata }: Json, more = {}): Json => ({
    ...{ apiVersion, kind, name: metadata.name, uid: metadata.uid },
    ...more,
  })

  test('nobody holds up the deletion of what is somebody else’s, not even in two steps', async () => {
    const theirs = await make()
    const mine = (await call('bob', 'POST', ALL, environment(`b-${count++}`))).body
    const blocking = reference(theirs, { blockOwnerDeletion: true })
    for (const [method, path, body, headers] of doors(mine, { ownerReferences: [blocking] }))
      expect((await call('bob', method, path, body, headers)).status, method).toBe(403)
    const born = environment(`b-${count++}`, { metadata: { ownerReferences: [blocking] } })
    expect((await call('bob', 'POST', ALL, born)).status).toBe(403)
    // First a reference that leads nowhere, or does not block; then the same with one word changed.
    for (const harmless of [
      { ...blocking, name: 'nothing' },
      { ...blocking, apiVersion: 'v1', kind: 'Pod' },
      reference(theirs),
    ]) {
      const patch = (references: Json) =>
        call('bob', 'PATCH', at(mine), { metadata: { ownerReferences: references } }, MERGE)
      expect((await patch([harmless])).status).toBe(200)
      expect((await patch([blocking])).status, JSON.stringify(harmless)).toBe(403)
      expect((await patch([{ ...blocking, controller: true }])).status).toBe(403)
    }
  })

  test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty'])(
    'an owner of kind %s is none of ours',
    async kind => {
      const owner = { apiVersion: 'v1', kind, name: 'x', uid: 'u', blockOwnerDeletion: true }
      const made = await make({ ownerReferences: [owner] })
      expect(made.metadata.ownerReferences).toEqual([owner])
    },
  )
})

describe('views and reports', () => {
  test('namespaces are changed by admins, under either name', async () => {
    for (const [path, apiVersion, kind] of [
      ['/api/v1/namespaces', 'v1', 'Namespace'],
      [`${ROOT}/organizations`, 'bothy.dev/v1alpha1', 'Organization'],
    ] as const)
      for (const who of ['ada', 'eve'] as const) {
        const change = { metadata: { labels: { a: 'b' } } }
        const manifest = { apiVersion, kind, metadata: { name: 'default', labels: { a: 'b' } } }
        const statuses = await Promise.all([
          call(who, 'POST', path, { ...manifest, metadata: { name: 'mine' } }),
          call(who, 'PATCH', `${path}/default`, change, kind === 'Namespace' ? STRATEGIC : MERGE),
          call(who, 'PATCH', `${path}/default`, change, MERGE),
          call(who, 'PATCH', `${path}/default?fieldManager=m&force=true`, manifest, APPLY),
          call(
            who,
            'PATCH',
            `${path}/mine?fieldManager=m`,
            { ...manifest, metadata: { name: 'mine' } },
            APPLY,
          ),
          call(who, 'DELETE', `${path}/default`),
        ])
        expect(statuses.map(({ status }) => status)).toEqual([403, 403, 403, 403, 403, 403])
      }
    expect((await call('admin', 'DELETE', '/api/v1/namespaces/default')).status).toBe(403)
  })

  test('a runner reports about itself and what is bound to it, and holds nothing up by that', async () => {
    const [theirs, itself] = [await make(), runner.resource]
    const event = (regarding: Json, more: Json = {}, metadata: Json = {}) => ({
      ...{
        metadata: { name: `r-${count++}`, ...metadata },
        reason: 'Tested',
        action: 'Testing',
        type: 'Normal',
      },
      ...{
        reportingController: 'bothy-runner',
        reportingInstance: 'here',
        eventTime: '2030-01-01T00:00:00.000000Z',
      },
      regarding: {
        kind: regarding.kind,
        name: regarding.metadata.name,
        uid: regarding.metadata.uid,
        namespace: 'default',
      },
      ...more,
    })
    const path = '/apis/events.k8s.io/v1/namespaces/default/events'
    const post = (body: Json) => call('runner', 'POST', path, body)
    const told = await post(event(itself))
    expect(told.status, told.text).toBe(201)
    const blocking = {
      apiVersion: theirs.apiVersion,
      kind: 'Environment',
      name: theirs.metadata.name,
      uid: theirs.metadata.uid,
      blockOwnerDeletion: true,
    }
    for (const refused of [
      event(theirs),
      event({ ...itself, metadata: { ...itself.metadata, uid: theirs.metadata.uid } }),
      event(itself, { reportingInstance: 'there' }),
      event(itself, {}, { finalizers: ['x/y'] }),
      event(itself, {}, { ownerReferences: [blocking] }),
    ])
      expect([403, 404]).toContain((await post(refused)).status)
    const finalizers = { metadata: { finalizers: ['x/y'] } }
    expect(
      (await call('runner', 'PATCH', `${path}/${told.body.metadata.name}`, finalizers, MERGE)).status,
    ).toBe(403)
    const core = `/api/v1/namespaces/default/events/${told.body.metadata.name}`
    expect((await call('runner', 'PATCH', core, finalizers, STRATEGIC)).status).toBe(403)
    for (const method of ['DELETE', 'GET'])
      expect([403, 404]).toContain((await call('runner', method, '/api/v1/namespaces/default/events')).status)
  })

  test('a token to go on with a list grants nothing', async () => {
    await make()
    await make()
    const more = (await call('admin', 'GET', `${ALL}?limit=1`)).body.metadata.continue
    expect(more).toBeTypeOf('string')
    expect((await call('runner', 'GET', `${ALL}?limit=9&continue=${more}`)).status).toBe(403)
    const own = await call(
      'runner',
      'GET',
      `${ALL}?limit=9&fieldSelector=spec.runner%3Dhere&continue=${more}`,
    )
    expect(own.body.items).toEqual([])
    expect(
      (await call('admin', 'GET', `${ROOT}/namespaces/other/environments?continue=${more}`)).status,
    ).toBe(400)
    expect(
      (await call('runner', 'GET', `${ALL}?fieldSelector=spec.runner%3Dhere,spec.runner%3Dthere`)).body
        .items ?? [],
    ).toEqual([])
    expect((await call('runner', 'GET', `${ALL}?fieldSelector=spec.runner!%3Dthere`)).status).toBe(403)
  })

  test('to a runner, what is not its business and what is not there look the same in reviews', async () => {
    const theirs = await make()
    const ask = async (name: string) => {
      const spec = {
        resourceAttributes: {
          namespace: 'default',
          group: 'bothy.dev',
          resource: 'environments',
          verb: 'get',
          name,
        },
      }
      return (
        await call('runner', 'POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { spec })
      ).body.status
    }
    expect(await ask(theirs.metadata.name)).toEqual(await ask('not-there'))
  })
})
