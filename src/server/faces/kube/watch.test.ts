import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  environment,
  events,
  type Json,
  MERGE,
  pathOf,
  type ServerFixture,
  startServer,
  TABLE,
} from '../../../../test/support/server.ts'

let server: ServerFixture
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const as = (who: 'admin' | 'ada' | 'bob' | 'eve') => ({ token: server.tokens[who] })
const create = (name: string, more?: Json) =>
  server.call('POST', pathOf('environments'), { ...as('ada'), body: environment(name, more) })

describe('watch', () => {
  const watch = async (query: string, more: Json = {}) =>
    events(await server.open(`${pathOf('environments')}?watch=true&${query}`, { ...as('eve'), ...more }))

  test('brings what exists, then changes, and ends an object that stops matching with DELETED', async () => {
    await create('w-1', { metadata: { labels: { watched: 'yes' } } })
    const seen = await watch('labelSelector=watched%3Dyes&allowWatchBookmarks=true')
    expect(await seen.next()).toMatchObject({
      type: 'ADDED',
      object: { kind: 'Environment', metadata: { name: 'w-1' } },
    })
    await create('w-2', { metadata: { labels: { watched: 'yes' } } })
    expect(await seen.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'w-2' } } })
    const patch = (body: Json) =>
      server.call('PATCH', pathOf('environments', 'w-1'), { ...as('ada'), headers: MERGE, body })
    await patch({ spec: { desired: 'Stopped' } })
    expect(await seen.next()).toMatchObject({ type: 'MODIFIED', object: { spec: { desired: 'Stopped' } } })
    const moved = await patch({ metadata: { labels: { watched: 'no' } } })
    const gone = await seen.next()
    expect(gone).toMatchObject({ type: 'DELETED', object: { metadata: { name: 'w-1' } } })
    expect(gone.object.metadata.resourceVersion).toBe(moved.body.metadata.resourceVersion)
    await patch({ metadata: { labels: { watched: 'yes' } } })
    expect(await seen.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'w-1' } } })
    await server.call('DELETE', pathOf('environments', 'w-2'), as('ada'))
    expect(await seen.next()).toMatchObject({ type: 'DELETED', object: { metadata: { name: 'w-2' } } })
    seen.end()
  })

  test('set selectors are watched with the same transitions', async () => {
    const seen = await watch('labelSelector=colour%20in%20(red,blue)')
    await create('w-set', { metadata: { labels: { colour: 'green' } } })
    const paint = (colour: string) =>
      server.call('PATCH', pathOf('environments', 'w-set'), {
        ...as('ada'),
        headers: MERGE,
        body: { metadata: { labels: { colour } } },
      })
    await paint('red')
    expect(await seen.next()).toMatchObject({ type: 'ADDED' })
    await paint('blue')
    expect(await seen.next()).toMatchObject({ type: 'MODIFIED' })
    await paint('green')
    expect(await seen.next()).toMatchObject({ type: 'DELETED' })
    seen.end()
  })

  test('WatchList: what exists, a bookmark that says so, then changes', async () => {
    await create('w-list', { metadata: { labels: { wl: 'yes' } } })
    const query = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true'
    const seen = await watch(`${query}&labelSelector=wl%3Dyes`)
    expect(await seen.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'w-list' } } })
    expect(await seen.next()).toMatchObject({
      type: 'BOOKMARK',
      object: { kind: 'Environment', metadata: { annotations: { 'k8s.io/initial-events-end': 'true' } } },
    })
    await server.call('DELETE', pathOf('environments', 'w-list'), as('ada'))
    expect(await seen.next()).toMatchObject({ type: 'DELETED' })
    seen.end()
  })

  test('as a Table, with the columns in the first event only', async () => {
    const list = await server.call('GET', pathOf('environments'), as('eve'))
    const seen = await watch(`resourceVersion=${list.body.metadata.resourceVersion}`, { headers: TABLE })
    await create('w-t1')
    await create('w-t2')
    const [first, second] = [await seen.next(), await seen.next()]
    expect(first.object).toMatchObject({ kind: 'Table', rows: [{ cells: expect.arrayContaining(['w-t1']) }] })
    expect(first.object.columnDefinitions).toHaveLength(8)
    expect(second.object.rows[0].cells[0]).toBe('w-t2')
    expect(second.object.columnDefinitions).toBeUndefined()
    seen.end()
  })

  test('a revision that is no longer, or not yet, known is an ERROR with code 410', async () => {
    const seen = await watch('resourceVersion=1')
    expect(await seen.next()).toMatchObject({
      type: 'ERROR',
      object: { kind: 'Status', code: 410, reason: 'Expired' },
    })
    expect(await seen.next()).toBeUndefined()
    const future = await watch('resourceVersion=99999999999')
    expect(await future.next()).toMatchObject({ type: 'ERROR', object: { code: 410 } })
  })

  test('ends after timeoutSeconds, and when the server closes; goes on from the last revision afterwards', async () => {
    const brief = await watch('timeoutSeconds=1&resourceVersion=0&fieldSelector=metadata.name%3Dnone')
    expect(await brief.next()).toBeUndefined()

    const { body } = await create('w-restart')
    const from = body.metadata.resourceVersion
    const before = await watch(`resourceVersion=${from}`)
    const patch = (N: string) =>
      server.call('PATCH', pathOf('environments', 'w-restart'), {
        ...as('ada'),
        headers: MERGE,
        body: { spec: { env: { N } } },
      })
    await patch('1')
    const last = await before.next()
    expect(last).toMatchObject({ type: 'MODIFIED', object: { spec: { env: { N: '1' } } } })
    await server.restart()
    expect(await before.next()).toBeUndefined()
    await patch('2')
    const after = await watch(`resourceVersion=${last.object.metadata.resourceVersion}`)
    expect(await after.next()).toMatchObject({ type: 'MODIFIED', object: { spec: { env: { N: '2' } } } })
    after.end()
  })
})
