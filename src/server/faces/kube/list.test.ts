import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  environment,
  events,
  type Json,
  pathOf,
  ROOT,
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

describe('list', () => {
  beforeAll(async () => {
    for (const name of ['l-1', 'l-2', 'l-3', 'l-4', 'l-5'])
      await create(name, { metadata: { labels: { list: 'yes', n: name } } })
  })

  test.each([
    ['labelSelector=list=yes', 5],
    ['labelSelector=list', 5],
    ['labelSelector=list,n!=l-1', 4],
    ['labelSelector=n in (l-1, l-2)', 2],
    ['labelSelector=list,n notin (l-1,l-2)', 3],
    ['labelSelector=list,!n', 0],
    ['fieldSelector=metadata.name=l-3', 1],
    ['fieldSelector=metadata.name!=l-3&labelSelector=list', 4],
    ['fieldSelector=spec.runner=&labelSelector=list', 5],
    ['fieldSelector=status.phase=Pending,spec.class=small&labelSelector=list', 5],
  ])('%s finds %i', async (query, count) => {
    const escaped = query.replaceAll(/=([^&]*)/g, (_, value) => `=${encodeURIComponent(value)}`)
    const { status, body } = await server.call('GET', `${pathOf('environments')}?${escaped}`, as('eve'))
    expect(status).toBe(200)
    expect(body.items).toHaveLength(count)
    expect(body).toMatchObject({ kind: 'EnvironmentList', apiVersion: 'bothy.dev/v1alpha1' })
    expect(body.metadata.resourceVersion).toMatch(/^[1-9][0-9]*$/)
  })

  test.each([
    'fieldSelector=spec.image%3Dx',
    'labelSelector=a%20b%20c',
    'limit=one',
    'watch=true&timeoutSeconds=soon',
    'resourceVersion=01',
  ])('%s is 400', async query => {
    expect((await server.call('GET', `${pathOf('environments')}?${query}`, as('eve'))).status).toBe(400)
  })

  test('pages come from one snapshot, though objects come and go meanwhile', async () => {
    const path = `${pathOf('environments')}?labelSelector=list`
    const first = await server.call('GET', `${path}&limit=2`, as('eve'))
    // What a selector leaves is not counted ahead of time.
    expect(first.body.metadata.remainingItemCount).toBeUndefined()
    await server.call('DELETE', pathOf('environments', 'l-4'), as('ada'))
    await create('l-0', { metadata: { labels: { list: 'yes' } } })
    const token = encodeURIComponent(first.body.metadata.continue)
    // A token says where, not who may: any server goes on with it, after a restart too.
    await server.restart()
    const rest = await server.call('GET', `${path}&limit=10&continue=${token}`, as('bob'))
    const names = [...first.body.items, ...rest.body.items].map((item: Json) => item.metadata.name)
    expect(names).toEqual(['l-1', 'l-2', 'l-3', 'l-4', 'l-5'])
    expect(rest.body.metadata.resourceVersion).toBe(first.body.metadata.resourceVersion)
    expect(rest.body.metadata.continue).toBeUndefined()
    const elsewhere = `${ROOT}/namespaces/other/environments?continue=${token}`
    expect((await server.call('GET', elsewhere, as('eve'))).status).toBe(400)
    const pinned = `${path}&continue=${token}&resourceVersion=${first.body.metadata.resourceVersion}`
    expect((await server.call('GET', pinned, as('eve'))).status).toBe(400)
    expect((await server.call('GET', `${path}&continue=forged`, as('eve'))).status).toBe(400)
    await create('l-4', { metadata: { labels: { list: 'yes' } } })
  })

  test('a list says how many are left, and an old revision is listed as it was', async () => {
    const path = pathOf('environments')
    const all = await server.call('GET', path, as('eve'))
    const { resourceVersion } = all.body.metadata
    const first = await server.call('GET', `${path}?limit=2`, as('eve'))
    expect(first.body.metadata.remainingItemCount).toBe(all.body.items.length - 2)
    await create('l-9')
    const exact = `${path}?resourceVersionMatch=Exact&resourceVersion`
    const then = await server.call('GET', `${exact}=${resourceVersion}`, as('eve'))
    expect(then.body).toEqual(all.body)
    const future = await server.call('GET', `${exact}=${BigInt(resourceVersion) + 1_000_000n}`, as('eve'))
    expect(future).toMatchObject({ status: 504, body: { reason: 'Timeout' } })
    const newer = await server.call('GET', `${path}?resourceVersion=${resourceVersion}`, as('eve'))
    expect(newer.body.items).toHaveLength(all.body.items.length + 1)
    await server.call('DELETE', pathOf('environments', 'l-9'), as('ada'))
  })

  test('after compaction a page is 410, with a token that goes on at the latest', async () => {
    const path = `${pathOf('environments')}?labelSelector=list&limit=2`
    const first = await server.call('GET', path, as('eve'))
    await create('l-6', { metadata: { labels: { list: 'yes' } } })
    await server.database.compact(0, 0)
    const token = encodeURIComponent(first.body.metadata.continue)
    const expired = await server.call('GET', `${path}&continue=${token}`, as('eve'))
    expect(expired).toMatchObject({ status: 410, body: { kind: 'Status', reason: 'Expired', code: 410 } })
    const goOn = encodeURIComponent(expired.body.metadata.continue)
    const next = await server.call('GET', `${path}&continue=${goOn}`, as('eve'))
    expect(next.status).toBe(200)
    const last = first.body.items.at(-1).metadata.name
    expect(next.body.items[0].metadata.name > last).toBe(true)
    await server.call('DELETE', pathOf('environments', 'l-6'), as('ada'))
  })

  test('a long list comes whole in every form, of one moment, in answers and in watches', async () => {
    const names = Array.from({ length: 1_100 }, (_, i) => `long-${i}`).sort()
    for (let i = 0; i < names.length; i += 100)
      await Promise.all(
        names.slice(i, i + 100).map((name, n) =>
          server.database.store.create({
            kind: 'Runner',
            metadata: { name, namespace: 'default', labels: { half: String(n % 2) } },
            spec: { cordoned: false },
          }),
        ),
      )
    const path = pathOf('runners')
    const plain = await server.call('GET', path, as('eve'))
    expect(plain.headers['content-type']).toBe('application/json; charset=utf-8')
    expect(plain.body).toMatchObject({ kind: 'RunnerList', apiVersion: 'bothy.dev/v1alpha1' })
    const namesOf = (items: Json[]) => items.map(item => item.metadata.name)
    expect(namesOf(plain.body.items)).toEqual(names)
    const table = await server.call('GET', path, { ...as('eve'), headers: TABLE })
    expect(namesOf(table.body.rows.map((row: Json) => row.object))).toEqual(names)
    expect(table.body.columnDefinitions.length).toBeGreaterThan(2)
    // A selector that the store does not know by itself, and one that leaves nothing.
    const half = await server.call('GET', `${path}?labelSelector=half!=0`, as('eve'))
    expect(half.body.items).toHaveLength(550)
    const none = await server.call('GET', `${path}?labelSelector=half!=0,half!=1`, as('eve'))
    expect(none.body.items).toEqual([])
    const page = await server.call('GET', `${path}?limit=5000`, as('eve'))
    expect(page.body.items).toHaveLength(1_000)
    const rest = `${path}?continue=${encodeURIComponent(page.body.metadata.continue)}`
    expect((await server.call('GET', rest, as('eve'))).body.items).toHaveLength(100)

    const answer = await server.open(
      `${path}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan`,
      as('eve'),
    )
    const { next, end } = events(answer)
    const seen: string[] = []
    for (let event = await next(); event.type === 'ADDED'; event = await next())
      seen.push(event.object.metadata.name)
    expect(seen).toEqual(names)
    end()
  })

  test('as a Table: columns, cells, and metadata of each object', async () => {
    const path = `${pathOf('environments')}?fieldSelector=metadata.name%3Dl-1`
    const { body } = await server.call('GET', path, { ...as('eve'), headers: TABLE })
    expect(body.kind).toBe('Table')
    const names = body.columnDefinitions.map((column: Json) => column.name)
    expect(names).toEqual(['Name', 'Phase', 'Class', 'Runner', 'Age', 'Epoch', 'Image', 'Commit'])
    expect(body.columnDefinitions[5].priority).toBe(1)
    expect(body.rows[0].cells.slice(0, 4)).toEqual(['l-1', 'Pending', 'small', ''])
    expect(body.rows[0].cells[4]).toMatch(/^[0-9]+s$/)
    expect(body.rows[0].object).toMatchObject({ kind: 'PartialObjectMetadata', metadata: { name: 'l-1' } })
    expect(body.rows[0].object.spec).toBeUndefined()
    const full = await server.call('GET', `${path}&includeObject=Object`, { ...as('eve'), headers: TABLE })
    expect(full.body.rows[0].object.spec.class).toBe('small')
  })

  test('what is not spoken is 406; other kinds and namespaces are apart', async () => {
    const headers = { accept: 'application/vnd.kubernetes.protobuf' }
    expect((await server.call('GET', pathOf('environments'), { ...as('eve'), headers })).status).toBe(406)
    const other = await server.call('GET', `${ROOT}/namespaces/other/environments`, as('eve'))
    expect(other.body.items).toEqual([])
    const all = await server.call('GET', `${ROOT}/environments?labelSelector=list`, as('eve'))
    expect(all.body.items.length).toBeGreaterThan(0)
  })
})
