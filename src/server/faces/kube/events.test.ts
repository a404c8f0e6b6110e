// Events as Kubernetes' client libraries send them, of both generations.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Json, type ServerFixture, startServer } from '../../../../test/support/server.ts'

let server: ServerFixture
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const CORE = '/api/v1/namespaces/default/events'
const NEWER = '/apis/events.k8s.io/v1/namespaces/default/events'
const STRATEGIC = { 'content-type': 'application/strategic-merge-patch+json' }
const about = {
  apiVersion: 'v1',
  kind: 'Pod',
  namespace: 'default',
  name: 'web',
  uid: '01a1f863-0653-75d8-8a47-b28fc01f48a9',
}

const call = (method: string, path: string, body?: Json, headers: Record<string, string> = {}) =>
  server.call(method, path, { token: server.tokens.admin, headers, ...(body === undefined ? {} : { body }) })
const core = (name: string, more: Json = {}) => ({
  kind: 'Event',
  apiVersion: 'v1',
  metadata: { name, namespace: 'default', creationTimestamp: null },
  involvedObject: about,
  reason: 'BackOff',
  message: 'Back-off restarting failed container',
  source: { component: 'operator', host: 'node-1' },
  firstTimestamp: '2030-01-01T00:00:00Z',
  lastTimestamp: '2030-01-01T00:00:00Z',
  count: 1,
  type: 'Warning',
  eventTime: null,
  reportingComponent: '',
  reportingInstance: '',
  ...more,
})
const newer = (name: string, more: Json = {}) => ({
  kind: 'Event',
  apiVersion: 'events.k8s.io/v1',
  metadata: { name, namespace: 'default', creationTimestamp: null },
  eventTime: '2030-01-01T00:00:00.123456Z',
  reportingController: 'example.com/operator',
  reportingInstance: 'operator-0',
  action: 'Binding',
  reason: 'Scheduled',
  regarding: about,
  note: 'bound',
  type: 'Normal',
  deprecatedSource: {},
  deprecatedFirstTimestamp: null,
  deprecatedLastTimestamp: null,
  ...more,
})

test('the older recorder creates one and counts on with a strategic merge patch', async () => {
  const created = await call('POST', CORE, core('web.1'))
  expect([created.status, created.body.source]).toEqual([201, { component: 'operator', host: 'node-1' }])
  const patch = { count: 2, lastTimestamp: '2030-01-01T00:05:00Z', message: 'and again' }
  const patched = await call('PATCH', `${CORE}/web.1`, patch, STRATEGIC)
  expect(patched.status).toBe(200)
  expect(patched.body).toMatchObject({ ...patch, firstTimestamp: '2030-01-01T00:00:00Z', eventTime: null })
  const other = await call('GET', `${NEWER}/web.1`)
  expect(other.body).toMatchObject({ note: 'and again', deprecatedCount: 2, regarding: { name: 'web' } })
})

test('the newer recorder creates one and goes on with a series', async () => {
  expect((await call('POST', NEWER, newer('web.2'))).status).toBe(201)
  const series = { count: 3, lastObservedTime: '2030-01-01T00:06:00.000001Z' }
  const patched = await call('PATCH', `${NEWER}/web.2`, { series }, STRATEGIC)
  expect([patched.status, patched.body.series]).toEqual([200, series])
  const shown = await call('GET', `${CORE}/web.2`)
  expect(shown.body).toMatchObject({
    count: 3,
    firstTimestamp: '2030-01-01T00:00:00.123456Z',
    lastTimestamp: series.lastObservedTime,
    source: { component: 'example.com/operator' },
  })
})

test.each([
  [
    'another namespace',
    core('bad', { involvedObject: { ...about, namespace: 'other' } }),
    'involvedObject.namespace',
  ],
  ['an unknown type', core('bad', { type: 'Urgent' }), 'type'],
  ['a time that is none', core('bad', { firstTimestamp: 'yesterday' }), 'firstTimestamp'],
  ['a count below one', core('bad', { count: -1 }), 'count'],
  [
    'an eventTime without its reporter',
    core('bad', { eventTime: '2030-01-01T00:00:00.000000Z', source: {} }),
    'reportingController',
  ],
] as const)('%s is 422, and the field is named', async (_what, body, field) => {
  const { status, body: answer } = await call('POST', CORE, body)
  expect([status, answer.reason]).toEqual([422, 'Invalid'])
  expect(answer.details.causes.map((cause: Json) => cause.field)).toContain(field)
})

test('what an event is about never changes', async () => {
  expect((await call('POST', CORE, core('web.3'))).status).toBe(201)
  const patch = { involvedObject: { name: 'other' } }
  expect((await call('PATCH', `${CORE}/web.3`, patch, STRATEGIC)).status).toBe(422)
})

test('a runner tells of what is its own, and of nothing else', async () => {
  const [here, there] = [await server.addRunner('here'), await server.addRunner('there')]
  const token = await here.token()
  const report = (of: Json, reportingInstance: string) =>
    server.call('POST', NEWER, {
      token,
      body: newer(`by-${of.metadata.name}-${reportingInstance}`, {
        reportingInstance,
        regarding: {
          apiVersion: 'bothy.dev/v1alpha1',
          kind: 'Runner',
          namespace: 'default',
          name: of.metadata.name,
          uid: of.metadata.uid,
        },
      }),
    })
  expect((await report(here.resource, 'here')).status).toBe(201)
  expect((await report(here.resource, 'there')).status).toBe(403)
  expect((await report(there.resource, 'here')).status).toBe(404)
  const own = `${NEWER}/by-here-here`
  expect((await server.call('GET', own, { token })).status).toBe(200)
  expect((await server.call('GET', own, { token: await there.token() })).status).toBe(403)
  expect((await server.call('DELETE', own, { token })).status).toBe(403)
})
