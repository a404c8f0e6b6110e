import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  environment,
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
    'limit=-1',
    'watch=perhaps',
    'resourceVersion=01',
  ])('%s is 400', async query => {
    expect((await server.call('GET', `${pathOf('environments')}?${query}`, as('eve'))).status).toBe(400)
  })

  test('pages come from one snapshot, though objects come and go meanwhile', async () => {
    const path = `${pathOf('environments')}?labelSelector=list`
    const first = await server.call('GET', `${path}&limit=2`, as('eve'))
    expect(first.body.metadata.remainingItemCount).toBe(3)
    await server.call('DELETE', pathOf('environments', 'l-4'), as('ada'))
    await create('l-0', { metadata: { labels: { list: 'yes' } } })
    const token = encodeURIComponent(first.body.metadata.continue)
    const rest = await server.call('GET', `${path}&limit=10&continue=${token}`, as('eve'))
    const names = [...first.body.items, ...rest.body.items].map((item: Json) => item.metadata.name)
    expect(names).toEqual(['l-1', 'l-2', 'l-3', 'l-4', 'l-5'])
    expect(rest.body.metadata.resourceVersion).toBe(first.body.metadata.resourceVersion)
    expect(rest.body.metadata.continue).toBeUndefined()
    // Somebody else's token, or another question, is no way to a list that was made for somebody.
    expect((await server.call('GET', `${path}&continue=${token}`, as('bob'))).status).toBe(410)
    expect((await server.call('GET', `${pathOf('environments')}?continue=${token}`, as('eve'))).status).toBe(
      410,
    )
    await create('l-4', { metadata: { labels: { list: 'yes' } } })
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
