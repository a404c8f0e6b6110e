import { decodeJwt } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Json,
  pathOf,
  type ServerFixture,
  startServer,
  type TestRunner,
} from '../../test/support/server.ts'
import { entranceClaimsSchema, entranceGrantSchema } from '../api/entrance.ts'
import type { EnvironmentPhase } from '../api/kinds/environment.ts'

let server: ServerFixture
let runner: TestRunner
beforeAll(async () => {
  server = await startServer()
  runner = await server.addRunner('here')
})
afterAll(() => server.close())

interface State {
  readonly runner?: string
  readonly phase?: EnvironmentPhase
  readonly desired?: 'Running' | 'Stopped'
}

async function make(name: string, state: State) {
  const { store } = server.database
  await server.call('POST', pathOf('environments'), {
    token: server.tokens.ada,
    body: { metadata: { name } },
  })
  const made = (await store.find({ kind: 'Environment', namespace: 'default', name }))!
  const { runner: bound, phase = 'Pending', desired = 'Running' } = state
  const spec = { ...made.spec, desired, ...(bound === undefined ? {} : { runner: bound }) }
  const main = await store.update({ ...made, spec }, 'main')
  const ready = {
    type: 'Ready',
    status: 'False' as const,
    reason: 'R',
    message: 'because of this',
    lastTransitionTime: '2030-01-01T00:00:00Z',
  }
  return store.update({ ...main, status: { ...main.status, phase, conditions: [ready] } }, 'status')
}
const enter = (name: string, kind = 'exec'): Promise<{ status: number; body: Json }> =>
  server.call('POST', `${pathOf('environments', name)}/${kind}`, { token: server.tokens.ada })

test('the owner gets a token for one entrance of one environment on one runner, and where to go with it', async () => {
  const { metadata } = await make('up', { runner: 'here', phase: 'Running' })
  const { uid } = runner.resource.metadata
  const relayed = `${server.url()}/relay/${uid}/entrance/${metadata.uid}/exec`
  const { status, body } = await enter('up')
  expect(status).toBe(201)
  const grant = entranceGrantSchema.parse(body)
  expect(grant).toMatchObject({ urls: [relayed], ca: server.pki.ca })
  const claims = entranceClaimsSchema.parse(decodeJwt(grant.token))
  expect(claims).toMatchObject({ aud: `runner:${uid}`, sub: 'user:ada', env: metadata.uid, act: 'exec' })
  expect(claims.exp - claims.iat).toBe(60)
  await expect(server.pki.verifyEntrance(grant.token, claims.aud)).resolves.toEqual(claims)

  const advertised = { status: { gateway: { url: 'https://192.0.2.9:7/' } } }
  const headers = { 'content-type': 'application/merge-patch+json' }
  const path = `${pathOf('runners', 'here')}/status`
  await server.call('PATCH', path, { token: await runner.token(), headers, body: advertised })
  const direct = `https://192.0.2.9:7/entrance/${metadata.uid}/logs`
  expect((await enter('up', 'logs')).body.urls).toEqual([direct, relayed.replace(/exec$/, 'logs')])
})

test.each([
  ['unbound', {}, 'environment-unbound', 'no runner'],
  [
    'stopped',
    { runner: 'here', phase: 'Stopped', desired: 'Stopped' },
    'environment-not-running',
    'it is Stopped',
  ],
  ['failed', { runner: 'here', phase: 'Failed' }, 'environment-not-running', 'because of this'],
  ['astray', { runner: 'gone', phase: 'Running' }, 'runner-gone', "'gone'"],
] as const)('an environment that is %s says so, with a hint', async (name, state, code, said) => {
  await make(name, state)
  const { status, body } = await enter(name)
  expect(status).toBe(503)
  expect(body.message).toContain(said)
  expect(body.details.bothy).toMatchObject({ reason: 'unavailable', code, hint: expect.any(String) })
})

test('content and logs do not wait for it to run', async () => {
  await make('young', { runner: 'here', phase: 'Creating' })
  for (const kind of ['content', 'logs']) expect((await enter('young', kind)).status).toBe(201)
})

test('what does not exist is 404, also as a kind of entrance', async () => {
  expect((await enter('nowhere')).status).toBe(404)
  expect((await enter('young', 'telepathy')).status).toBe(404)
})
