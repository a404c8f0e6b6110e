import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { environment, pathOf, ROOT, type ServerFixture, startServer } from '../../test/support/server.ts'
import { environmentUsage, usageReport } from '../../test/support/usage.ts'
import type { Resource } from '../api/resource.ts'
import { systemClock } from '../lib/clock.ts'
import { createManualClock } from '../lib/manual-clock.ts'

const clock = createManualClock(systemClock.now())
let server: ServerFixture
let here: Awaited<ReturnType<ServerFixture['addRunner']>>
let there: typeof here
beforeAll(async () => {
  server = await startServer({ clock })
  here = await server.addRunner('here')
  there = await server.addRunner('there')
})
afterAll(() => server.close())

async function make(name: string, runner?: string): Promise<Resource<'Environment'>> {
  const spec = runner === undefined ? {} : { runner }
  const token = server.tokens.admin
  const made = await server.call('POST', pathOf('environments'), { token, body: environment(name, { spec }) })
  expect(made.status, made.text).toBe(201)
  if (runner === undefined) return made.body
  const status = { ...made.body.status, phase: 'Running' }
  return server.database.store.update({ ...made.body, status }, 'status')
}

const tell = async (runner: typeof here, body: unknown) =>
  server.call('POST', '/runner/usage', { token: await runner.token(), body })
const look = (path: string, token = server.tokens.eve) => server.call('GET', path, { token })

test('what a runner tells is read with the environment, by whoever may read that', async () => {
  const otter = await make('otter', 'here')
  const { uid, resourceVersion } = otter.metadata
  const busy = { cpu: { cores: 1.9, sessionCores: 0, throttled: 0.4 }, processes: 77 }
  expect((await tell(here, usageReport({ [uid]: busy }))).body).toEqual({ nextMs: 10_000 })
  const found = await look(`${pathOf('environments', 'otter')}/usage`)
  expect(found.body).toEqual({
    apiVersion: 'bothy.dev/v1alpha1',
    kind: 'EnvironmentUsage',
    metadata: { name: 'otter', namespace: 'default', uid },
    timestamp: new Date(clock.now()).toISOString(),
    windowMs: 2_000,
    runner: 'here',
    usage: environmentUsage(busy),
  })
  // Somebody looks: the runner tells oftener, until nobody does any more.
  expect((await tell(here, usageReport({ [uid]: busy }))).body).toEqual({ nextMs: 2_000 })
  await clock.advance(16_000)
  expect((await tell(here, usageReport({ [uid]: busy }))).body).toEqual({ nextMs: 10_000 })
  const after = await look(pathOf('environments', 'otter'))
  expect(after.body.metadata.resourceVersion).toBe(resourceVersion)
})

test('all of a namespace is one list, with the hosts', async () => {
  const [a, b] = [await make('list-a', 'here'), await make('list-b', 'there')]
  await make('list-unbound')
  await tell(here, usageReport({ [a.metadata.uid]: {} }))
  await tell(there, usageReport({ [b.metadata.uid]: {} }))
  for (const path of [pathOf('environmentusages'), `${ROOT}/environmentusages`]) {
    const { body } = await look(path)
    const names = body.items.map((each: Resource) => each.metadata.name)
    expect(names.filter((name: string) => name.startsWith('list-'))).toEqual(['list-a', 'list-b'])
    expect(body.runners.map((each: Resource) => each.metadata.name).toSorted()).toEqual(['here', 'there'])
    expect(body.runners[0].usage).toEqual(usageReport().host)
  }
  expect((await look(`${ROOT}/namespaces/other/environmentusages`)).body).toMatchObject({
    items: [],
    runners: [],
  })
})

test('no runner speaks for what is bound to another one, or reads', async () => {
  const mine = await make('fenced', 'here')
  const { uid } = mine.metadata
  await tell(there, usageReport({ [uid]: {} }))
  expect((await look(`${pathOf('environments', 'fenced')}/usage`)).status).toBe(404)
  const token = await there.token()
  expect((await look(`${pathOf('environments', 'fenced')}/usage`, token)).status).toBe(404)
  expect((await look(pathOf('environmentusages'), token)).status).toBe(403)
  expect((await look(`${pathOf('environments', 'fenced')}/usage`, '')).status).toBe(401)
  const { tokens } = server
  const asUser = await server.call('POST', '/runner/usage', { token: tokens.admin, body: usageReport() })
  expect(asUser.status).toBe(403)
})

test('figures that are old are none', async () => {
  const { metadata } = await make('old', 'here')
  await tell(here, usageReport({ [metadata.uid]: {} }))
  expect((await look(`${pathOf('environments', 'old')}/usage`)).status).toBe(200)
  await clock.advance(31_000)
  const gone = await look(`${pathOf('environments', 'old')}/usage`)
  expect(gone.status).toBe(404)
  expect(gone.body.message).toContain('it is Running')
})

test('what has stopped uses nothing, whatever its runner told last', async () => {
  const made = await make('stopped', 'here')
  await tell(here, usageReport({ [made.metadata.uid]: {} }))
  const status = { ...made.status, phase: 'Stopped' as const }
  await server.database.store.update({ ...made, status }, 'status')
  const gone = await look(`${pathOf('environments', 'stopped')}/usage`)
  expect(gone.status).toBe(404)
  expect(gone.body.message).toContain('it is Stopped')
})

test('a report is checked, except for what a newer runner may know', async () => {
  const wrong = await tell(here, {
    ...usageReport(),
    environments: [{ uid: 'x', usage: environmentUsage() }],
  })
  expect(wrong.status).toBe(422)
  expect(wrong.body.message).toContain('environments[0].uid')
  const many = usageReport(Object.fromEntries(Array.from({ length: 4096 }, () => [randomUUID(), {}])))
  expect((await tell(here, many)).status).toBe(200)
  expect((await tell(here, { ...usageReport(), moonPhase: 3 })).status).toBe(200)
})
