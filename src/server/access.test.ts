// The matrix of `authorization.test.ts` again, over HTTPS: that every route of the API asks, with the object it means.
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type Json,
  MERGE,
  pathOf,
  ROOT,
  type ServerFixture,
  startServer,
  type TestRunner,
} from '../../test/support/server.ts'

let server: ServerFixture
let runners: Record<'here' | 'there', TestRunner>
beforeAll(async () => {
  server = await startServer()
  runners = { here: await server.addRunner('here'), there: await server.addRunner('there') }
  const body = { spec: { image: 'alpine:3' } }
  await server.call('POST', pathOf('environmentclasses'), {
    token: server.tokens.admin,
    body: { ...body, metadata: { name: 'small' } },
  })
})
afterAll(() => server.close())

const WHO = ['admin', 'ada', 'bob', 'eve', 'here', 'there', 'nobody'] as const
type Who = (typeof WHO)[number]
const tokenOf = async (who: Who): Promise<string | undefined> => {
  if (who === 'nobody') return undefined
  return who === 'here' || who === 'there' ? runners[who].token() : server.tokens[who]
}

let count = 0
/** An environment of ada's, bound to runner `here`. */
async function makeEnvironment(): Promise<Json> {
  const name = `e-${count++}`
  await server.call('POST', pathOf('environments'), {
    token: server.tokens.ada,
    body: { metadata: { name } },
  })
  const { store } = server.database
  const before = (await store.find({ kind: 'Environment', namespace: 'default', name }))!
  return store.update({ ...before, spec: { ...before.spec, runner: 'here' } }, 'main')
}

interface Attempt {
  readonly title: string
  /** Who gets through, and with which status; everybody else is refused. */
  readonly allowed: Partial<Record<Who, number>>
  readonly run: (token: string | undefined, environment: Json) => ReturnType<ServerFixture['call']>
}

const at = (environment: Json, sub = '') => `${pathOf('environments', environment.metadata.name)}${sub}`
const READERS = { admin: 200, ada: 200, bob: 200, eve: 200 }
const ATTEMPTS: Attempt[] = [
  {
    title: 'get',
    allowed: { ...READERS, here: 200 },
    run: (token, e) => server.call('GET', at(e), { token }),
  },
  {
    title: 'get status',
    allowed: { ...READERS, here: 200 },
    run: (token, e) => server.call('GET', at(e, '/status'), { token }),
  },
  { title: 'list', allowed: READERS, run: token => server.call('GET', pathOf('environments'), { token }) },
  {
    title: 'list all',
    allowed: READERS,
    run: token => server.call('GET', `${ROOT}/environments`, { token }),
  },
  {
    title: 'list of runner here',
    allowed: { ...READERS, here: 200 },
    run: token => server.call('GET', `${pathOf('environments')}?fieldSelector=spec.runner%3Dhere`, { token }),
  },
  {
    title: 'watch of runner here',
    allowed: { ...READERS, here: 200 },
    run: token =>
      server.call(
        'GET',
        `${pathOf('environments')}?watch=1&timeoutSeconds=1&fieldSelector=spec.runner%3Dhere`,
        { token },
      ),
  },
  {
    title: 'put',
    allowed: { admin: 200, ada: 200 },
    run: (token, e) =>
      server.call('PUT', at(e), { token, body: { ...e, spec: { ...e.spec, desired: 'Stopped' } } }),
  },
  {
    title: 'patch',
    allowed: { admin: 200, ada: 200 },
    run: (token, e) =>
      server.call('PATCH', at(e), { token, headers: MERGE, body: { spec: { desired: 'Stopped' } } }),
  },
  {
    title: 'patch as a dry run',
    allowed: { admin: 200, ada: 200 },
    run: (token, e) =>
      server.call('PATCH', at(e, '?dryRun=All'), { token, headers: MERGE, body: { spec: { env: {} } } }),
  },
  {
    title: 'taking ownership',
    allowed: {},
    run: (token, e) =>
      server.call('PATCH', at(e), {
        token,
        headers: MERGE,
        body: { metadata: { annotations: { 'bothy.dev/owner': 'bob' } } },
      }),
  },
  {
    title: 'put status',
    allowed: { admin: 200, here: 200 },
    run: (token, e) =>
      server.call('PUT', at(e, '/status'), {
        token,
        body: { ...e, status: { ...e.status, phase: 'Creating' } },
      }),
  },
  {
    title: 'patch status',
    allowed: { admin: 200, here: 200 },
    run: (token, e) =>
      server.call('PATCH', at(e, '/status'), {
        token,
        headers: MERGE,
        body: { status: { phase: 'Creating' } },
      }),
  },
  {
    title: 'delete',
    allowed: { admin: 200, ada: 200 },
    run: (token, e) => server.call('DELETE', at(e), { token }),
  },
  {
    title: 'entering by content',
    allowed: { ada: 201 },
    run: (token, e) => server.call('POST', at(e, '/content'), { token }),
  },
  {
    title: 'entering by logs',
    allowed: { ada: 201 },
    run: (token, e) => server.call('POST', at(e, '/logs'), { token }),
  },
  {
    title: 'entering by exec',
    allowed: { ada: 201 },
    run: (token, e) => server.call('POST', at(e, '/exec'), { token }),
  },
  {
    title: 'create',
    allowed: { admin: 201, ada: 201, bob: 201 },
    run: token =>
      server.call('POST', pathOf('environments'), { token, body: { metadata: { generateName: 'new-' } } }),
  },
  {
    title: 'create, bound to a runner',
    allowed: { admin: 201 },
    run: token =>
      server.call('POST', pathOf('environments'), {
        token,
        body: { metadata: { generateName: 'new-' }, spec: { runner: 'here' } },
      }),
  },
  {
    title: 'reading a class',
    allowed: { ...READERS, here: 200, there: 200 },
    run: token => server.call('GET', pathOf('environmentclasses', 'small'), { token }),
  },
  {
    title: 'changing a class',
    allowed: { admin: 200 },
    run: token =>
      server.call('PATCH', pathOf('environmentclasses', 'small'), {
        token,
        headers: MERGE,
        body: { spec: { description: 'x' } },
      }),
  },
  {
    title: 'reading runner here',
    allowed: { ...READERS, here: 200 },
    run: token => server.call('GET', pathOf('runners', 'here'), { token }),
  },
  {
    title: 'writing the status of runner here',
    allowed: { admin: 200, here: 200 },
    run: token =>
      server.call('PATCH', `${pathOf('runners', 'here')}/status`, {
        token,
        headers: MERGE,
        body: { status: { version: '1' } },
      }),
  },
  {
    title: 'cordoning runner here',
    allowed: { admin: 200 },
    run: token =>
      server.call('PATCH', pathOf('runners', 'here'), {
        token,
        headers: MERGE,
        body: { spec: { cordoned: false } },
      }),
  },
  {
    title: 'an enrolment token for runner here',
    allowed: { admin: 201 },
    run: token => server.call('POST', `${pathOf('runners', 'here')}/enrollment-token`, { token }),
  },
  {
    title: 'a lease',
    allowed: { here: 204, there: 204 },
    run: token => server.call('POST', '/runner/lease', { token }),
  },
]

for (const { title, allowed, run } of ATTEMPTS)
  test(`${title}: ${Object.keys(allowed).join(', ') || 'nobody'}`, async () => {
    for (const who of WHO) {
      const environment = await makeEnvironment()
      const answer = await run(await tokenOf(who), environment)
      const expected = allowed[who]
      if (expected !== undefined) expect(answer.status, `${who}: ${answer.text}`).toBe(expected)
      // 404: runners do not even learn that objects of others exist.
      else if (who === 'nobody') expect(answer.status).toBe(401)
      else expect([403, 404], `${who}: ${answer.status}`).toContain(answer.status)
    }
  })

test('a runner takes its finalizer off an environment that is being deleted, and nothing else', async () => {
  const environment = await makeEnvironment()
  const { store } = server.database
  const held = await store.update(
    { ...environment, metadata: { ...environment.metadata, finalizers: ['bothy.dev/runner'] } },
    'main',
  )
  const path = at(held)
  const drop = (token: string, spec = {}) =>
    server.call('PATCH', path, { token, headers: MERGE, body: { metadata: { finalizers: null }, spec } })
  const here = await runners.here.token()
  expect((await drop(here)).status).toBe(403)
  expect((await server.call('DELETE', path, { token: server.tokens.ada })).status).toBe(200)
  expect((await drop(server.tokens.ada)).status).toBe(403)
  expect((await drop(await runners.there.token())).status).toBe(404)
  expect((await drop(here, { env: { A: '1' } })).status).toBe(403)
  expect((await drop(here)).status).toBe(200)
  expect(
    await store.find({ kind: 'Environment', namespace: 'default', name: held.metadata.name }),
  ).toBeUndefined()
})

test('a refusal names who can help, if anybody can', async () => {
  const { metadata } = await makeEnvironment()
  const path = pathOf('environments', metadata.name)
  const hintFor = async (who: 'admin' | 'bob', method: string, at: string, body?: Json) => {
    const headers = body === undefined ? {} : MERGE
    const answer = await server.call(method, at, {
      token: server.tokens[who],
      headers,
      ...(body && { body }),
    })
    expect(answer.status).toBe(403)
    return answer.body.details.bothy.hint
  }
  expect(await hintFor('bob', 'DELETE', path)).toMatch(/owner.*administrator/)
  expect(await hintFor('admin', 'POST', `${path}/exec`)).toBe('ask the owner')
  const owned = { metadata: { annotations: { 'bothy.dev/owner': 'bob' } } }
  expect(await hintFor('admin', 'PATCH', path, owned)).toBeUndefined()
})

test('whoever deletes and recreates under the same name gets neither the old object nor its rights', async () => {
  const old = await makeEnvironment()
  const path = at(old)
  await server.call('DELETE', path, { token: server.tokens.ada })
  const body = { metadata: { name: old.metadata.name } }
  await server.call('POST', pathOf('environments'), { token: server.tokens.bob, body })
  expect((await server.call('DELETE', path, { token: server.tokens.ada })).status).toBe(403)
  expect((await server.call('PUT', path, { token: server.tokens.bob, body: old })).status).toBe(409)
})
