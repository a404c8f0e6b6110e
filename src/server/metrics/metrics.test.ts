import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Family, parseExposition } from '../../../test/support/exposition.ts'
import { environment, pathOf, type ServerFixture, startServer } from '../../../test/support/server.ts'
import { SERVER_METRICS } from './definitions.ts'

let server: ServerFixture
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

async function scrape(token = server.tokens.eve): Promise<ReadonlyMap<string, Family>> {
  const { status, text, headers } = await server.call('GET', '/metrics', { token })
  expect(status, text).toBe(200)
  expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/)
  return parseExposition(text)
}
const valueOf = (families: ReadonlyMap<string, Family>, name: string, labels: Record<string, string> = {}) =>
  families
    .get(name.replace(/_(bucket|sum|count)$/, ''))
    ?.samples.find(
      each =>
        (each.name === name || each.name === `${name}`) &&
        Object.entries(labels).every(([key, value]) => each.labels[key] === value),
    )?.value

test('are for users, of any role, and for nobody else', async () => {
  const runner = await server.addRunner('here')
  expect((await server.call('GET', '/metrics')).status).toBe(401)
  expect((await server.call('GET', '/metrics', { token: await runner.token() })).status).toBe(403)
  for (const token of Object.values(server.tokens)) await scrape(token)
  expect((await server.call('POST', '/metrics', { token: server.tokens.admin })).status).toBe(405)
})

test('are what a scraper can read, all that is defined', async () => {
  const families = await scrape()
  for (const [name, { type, help }] of Object.entries(SERVER_METRICS))
    expect(families.get(name), name).toMatchObject({ type, help })
  expect(families.has('process_cpu_seconds_total')).toBe(true)
  expect(valueOf(families, 'bothy_build_info', { version: '0.0.0-test' })).toBe(1)
})

test('count environments, runners, requests, writes and watches', async () => {
  const { tokens, call, open } = server
  const before = await scrape()
  await call('POST', pathOf('environments'), { token: tokens.ada, body: environment('otter') })
  const watch = await open(`${pathOf('environments')}?watch=true`, { token: tokens.ada })
  const after = await scrape()
  const grown = (name: string, labels: Record<string, string> = {}) =>
    (valueOf(after, name, labels) ?? 0) - (valueOf(before, name, labels) ?? 0)
  expect(grown('bothy_environments', { phase: 'Pending' })).toBe(1)
  expect(valueOf(after, 'bothy_environments', { phase: 'Failed' })).toBe(0)
  expect(valueOf(after, 'bothy_runners', { ready: 'false' })).toBe(1)
  expect(valueOf(after, 'bothy_watches', { resource: 'environments' })).toBe(1)
  const route = '/apis/bothy.dev/v1alpha1/namespaces/:namespace/environments'
  expect(grown('bothy_api_request_duration_seconds_count', { method: 'POST', route, status: '201' })).toBe(1)
  expect(grown('bothy_store_operation_duration_seconds_count', { operation: 'create', outcome: 'ok' })).toBe(
    1,
  )
  expect(grown('bothy_store_revision')).toBeGreaterThan(0)
  watch.destroy()
  await expect
    .poll(async () => valueOf(await scrape(), 'bothy_watches', { resource: 'environments' }))
    .toBe(0)
})

test('names that people make up are no series', async () => {
  for (const n of Array(5).keys()) await server.call('GET', `/made/up/${n}`, { token: server.tokens.ada })
  const routes = (await scrape())
    .get('bothy_api_request_duration_seconds')
    ?.samples.map(each => each.labels['route'])
  expect(routes).toContain('none')
  expect(routes?.some(each => each?.includes('made'))).toBe(false)
})

test('what a scraper refuses is refused here', () => {
  const fine = '# HELP a_total A.\n# TYPE a_total counter\na_total{b="c\\"d"} 1\n'
  expect(parseExposition(fine).get('a_total')?.samples).toEqual([
    { name: 'a_total', labels: { b: 'c\\"d' }, value: 1 },
  ])
  for (const [wrong, why] of [
    ['a_total 1\n', /not of/],
    [fine.trimEnd(), /does not end/],
    [`${fine}a_total{b="c\\"d"} 2\n`, /twice/],
    [fine.replace(' 1\n', ' one\n'), /no number/],
    [fine.replace('"c\\"d"', 'c'), /labels/],
    [fine.replace('counter', 'number'), /type/],
    [fine.replace(' 1\n', ' -1\n'), /negative/],
    [
      '# HELP h H.\n# TYPE h histogram\nh_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n',
      /not cumulative/,
    ],
  ] as const)
    expect(() => parseExposition(wrong), wrong).toThrow(why)
})
