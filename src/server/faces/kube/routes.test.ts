import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  events,
  type Json,
  pathOf,
  ROOT,
  type ServerFixture,
  startServer,
} from '../../../../test/support/server.ts'

let server: ServerFixture
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server.close())

const environment = (name: string, more: Json = {}) => ({
  apiVersion: 'bothy.dev/v1alpha1',
  kind: 'Environment',
  metadata: { name, ...more.metadata },
  spec: more.spec ?? {},
})
const as = (who: 'admin' | 'ada' | 'bob' | 'eve') => ({ token: server.tokens[who] })
const create = (name: string, more?: Json) =>
  server.call('POST', pathOf('environments'), { ...as('ada'), body: environment(name, more) })
const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' }
const MERGE = { 'content-type': 'application/merge-patch+json' }

describe('create', () => {
  test('fills in defaults, uid, generation and the owner', async () => {
    const { status, body } = await create('made', {
      metadata: { annotations: { 'bothy.dev/owner': 'root' } },
    })
    expect(status).toBe(201)
    expect(body).toMatchObject({
      apiVersion: 'bothy.dev/v1alpha1',
      kind: 'Environment',
      metadata: {
        name: 'made',
        namespace: 'default',
        generation: 1,
        annotations: { 'bothy.dev/owner': 'ada' },
      },
      spec: { desired: 'Running', class: 'small', content: { empty: {} }, env: {} },
      status: { phase: 'Pending', epoch: 0 },
    })
    expect(body.metadata.uid).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('completes generateName', async () => {
    const body = { metadata: { generateName: 'gen-' }, spec: {} }
    const answers = [1, 2].map(() => server.call('POST', pathOf('environments'), { ...as('ada'), body }))
    const names = (await Promise.all(answers)).map(answer => answer.body.metadata.name)
    expect(new Set(names).size).toBe(2)
    for (const name of names) expect(name).toMatch(/^gen-[a-z0-9]{5}$/)
  })

  test('dryRun=All answers the object and stores nothing; a name that is taken is refused all the same', async () => {
    const dry = (name: string) =>
      server.call('POST', `${pathOf('environments')}?dryRun=All`, { ...as('ada'), body: environment(name) })
    const { status, body } = await dry('rehearsed')
    expect(status).toBe(201)
    expect(body.spec.class).toBe('small')
    expect((await server.call('GET', pathOf('environments', 'rehearsed'), as('ada'))).status).toBe(404)
    await create('taken-dry')
    expect((await dry('taken-dry')).status).toBe(409)
  })

  test('a name that is taken is 409 AlreadyExists', async () => {
    await create('twice')
    const { status, body } = await create('twice')
    expect(status).toBe(409)
    expect(body).toMatchObject({ kind: 'Status', reason: 'AlreadyExists', details: { name: 'twice' } })
    expect(body.details.bothy).toMatchObject({ reason: 'already_exists' })
  })

  test.each([
    ['no JSON', '{"metadata":', 400, 'BadRequest'],
    ['an array', '[]', 400, 'BadRequest'],
    ['nothing', '', 400, 'BadRequest'],
    ['another kind', '{"kind":"Runner","metadata":{"name":"x"}}', 400, 'BadRequest'],
    ['another version', '{"apiVersion":"v1","metadata":{"name":"x"}}', 400, 'BadRequest'],
    ['another namespace', '{"metadata":{"name":"x","namespace":"other"}}', 400, 'BadRequest'],
    ['an unknown field', '{"metadata":{"name":"x"},"spec":{"imag":"a"}}', 400, 'BadRequest'],
    ['a field twice', '{"metadata":{"name":"x"},"spec":{"class":"a","class":"b"}}', 400, 'BadRequest'],
    ['a key __proto__', '{"metadata":{"name":"x"},"__proto__":{}}', 400, 'BadRequest'],
    ['bottomless nesting', `{"spec":${'['.repeat(100)}${']'.repeat(100)}}`, 400, 'BadRequest'],
    ['no name', '{"metadata":{}}', 422, 'Invalid'],
    ['a name with capitals', '{"metadata":{"name":"Big"}}', 422, 'Invalid'],
    ["a name with '--'", '{"metadata":{"name":"a--b"}}', 422, 'Invalid'],
    ['a wrong label', '{"metadata":{"name":"x","labels":{"a b":"c"}}}', 422, 'Invalid'],
    [
      'a file URL',
      '{"metadata":{"name":"x"},"spec":{"content":{"git":{"url":"file:///etc"}}}}',
      422,
      'Invalid',
    ],
    [
      'two contents',
      '{"metadata":{"name":"x"},"spec":{"content":{"empty":{},"git":{"url":"https://a/b"}}}}',
      422,
      'Invalid',
    ],
    ['a wrong choice', '{"metadata":{"name":"x"},"spec":{"desired":"Maybe"}}', 422, 'Invalid'],
  ])('refuses %s with a Status and a hint', async (_, body, status, reason) => {
    const answer = await server.call('POST', pathOf('environments'), { ...as('ada'), body })
    expect(answer.body).toMatchObject({
      kind: 'Status',
      apiVersion: 'v1',
      status: 'Failure',
      code: status,
      reason,
    })
    expect(answer.status).toBe(status)
    expect(answer.body.details.bothy.hint ?? 'none').not.toBe('none')
    expect(answer.headers['warning']).toContain('hint: ')
  })

  test('names every wrong field by its path', async () => {
    const spec = {
      class: 'Not A Name',
      env: { 'a b': '1' },
      content: { git: { url: 'https://a/b', depth: -1 } },
    }
    const { body } = await create('wrong', { spec })
    const fields = body.details.causes.map((cause: Json) => cause.field)
    expect(fields.sort()).toEqual(['spec.class', 'spec.content.git.depth', 'spec.env[a b]'])
  })

  test('says nothing in Ignore mode, and warns in Warn mode, of fields it does not know', async () => {
    const body = environment('tolerant', { spec: { imag: 'a' } })
    const post = (mode: string) =>
      server.call('POST', `${pathOf('environments')}?fieldValidation=${mode}&dryRun=All`, {
        ...as('ada'),
        body,
      })
    const strict = await post('Strict')
    expect(strict.status).toBe(400)
    expect(strict.body.message).toBe('strict decoding error: unknown field "spec.imag"')
    const warned = await post('Warn')
    expect(warned.status).toBe(201)
    expect(warned.headers['warning']).toBe('299 - "unknown field \\"spec.imag\\""')
    expect(warned.body.spec.imag).toBeUndefined()
    const ignored = await post('Ignore')
    expect(ignored.status).toBe(201)
    expect(ignored.headers['warning']).toBeUndefined()
  })

  test('refuses bodies over 1 MiB and of other media types', async () => {
    const big = await create('big', { metadata: { annotations: { a: 'x'.repeat(1 << 20) } } })
    expect(big.status).toBe(413)
    expect(big.body.reason).toBe('RequestEntityTooLarge')
    for (const type of ['application/vnd.kubernetes.protobuf', 'text/plain', 'application/yaml']) {
      const headers = { 'content-type': type }
      const other = await server.call('POST', pathOf('environments'), { ...as('ada'), body: '{}', headers })
      expect(other.status).toBe(415)
    }
  })
})

describe('update', () => {
  test('a stale revision is 409, the current one wins, no revision is 422', async () => {
    const { body: first } = await create('raced')
    const path = pathOf('environments', 'raced')
    const put = (body: Json) => server.call('PUT', path, { ...as('ada'), body })
    const second = await put({ ...first, spec: { ...first.spec, desired: 'Stopped' } })
    expect(second.status).toBe(200)
    expect(second.body.metadata.generation).toBe(2)
    const stale = await put({ ...first, spec: { ...first.spec, env: { A: '1' } } })
    expect(stale.status).toBe(409)
    expect(stale.body.reason).toBe('Conflict')
    const { resourceVersion: _, ...metadata } = first.metadata
    expect((await put({ ...first, metadata })).status).toBe(422)
  })

  test('of many writers with the same revision exactly one wins', async () => {
    const { body } = await create('crowded')
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) =>
        server.call('PUT', pathOf('environments', 'crowded'), {
          ...as('ada'),
          body: { ...body, spec: { ...body.spec, env: { N: String(n) } } },
        }),
      ),
    )
    expect(answers.map(answer => answer.status).sort()).toEqual([200, ...Array(7).fill(409)])
  })

  test('what changes nothing keeps the revision; status and immutable fields stay', async () => {
    const { body } = await create('still')
    const path = pathOf('environments', 'still')
    const same = await server.call('PUT', path, {
      ...as('ada'),
      body: { ...body, status: { phase: 'Running' } },
    })
    expect(same.body).toEqual(body)
    const changed = { ...body, spec: { ...body.spec, class: 'large' } }
    const refused = await server.call('PUT', path, { ...as('ada'), body: changed })
    expect(refused.status).toBe(422)
    expect(refused.body.details.causes).toMatchObject([{ field: 'spec.class' }])
  })

  test('a replacement that leaves owner and runner out keeps both', async () => {
    await create('bound')
    const { store } = server.database
    const key = { kind: 'Environment', namespace: 'default', name: 'bound' } as const
    const before = (await store.find(key))!
    const bound = await store.update({ ...before, spec: { ...before.spec, runner: 'here' } }, 'main')
    const { resourceVersion } = bound.metadata
    const body = { metadata: { name: 'bound', resourceVersion }, spec: { env: { A: '1' } } }
    const answer = await server.call('PUT', pathOf('environments', 'bound'), { ...as('ada'), body })
    expect(answer.status).toBe(200)
    expect(answer.body.spec).toMatchObject({ runner: 'here', env: { A: '1' } })
    expect(answer.body.metadata.annotations).toEqual({ 'bothy.dev/owner': 'ada' })
  })

  test('merge patch changes, adds and removes; concurrent patches all arrive', async () => {
    await create('patched', { metadata: { labels: { old: 'x' } } })
    const path = pathOf('environments', 'patched')
    const patch = (body: Json) => server.call('PATCH', path, { ...as('ada'), body, headers: MERGE })
    const first = await patch({ metadata: { labels: { old: null, new: 'y' } }, spec: { env: { A: '1' } } })
    expect(first.status).toBe(200)
    expect(first.body.metadata.labels).toEqual({ new: 'y' })
    const keys = Array.from({ length: 5 }, (_, n) => `K${n}`)
    const all = await Promise.all(keys.map(key => patch({ spec: { env: { [key]: '1' } } })))
    expect(all.map(answer => answer.status)).toEqual(Array(5).fill(200))
    const { body } = await server.call('GET', path, as('ada'))
    expect(Object.keys(body.spec.env).sort()).toEqual(['A', ...keys])
    const { resourceVersion } = first.body.metadata
    expect((await patch({ metadata: { resourceVersion }, spec: { desired: 'Stopped' } })).status).toBe(409)
  })

  test('JSON patch works, a failed test is 422, other patches are 415', async () => {
    await create('pointed')
    const path = pathOf('environments', 'pointed')
    const patch = (type: string, body: Json) =>
      server.call('PATCH', path, { ...as('ada'), body, headers: { 'content-type': type } })
    const json = 'application/json-patch+json'
    const good = await patch(json, [
      { op: 'test', path: '/spec/desired', value: 'Running' },
      { op: 'add', path: '/spec/env/A', value: '1' },
    ])
    expect(good.body.spec.env).toEqual({ A: '1' })
    expect((await patch(json, [{ op: 'test', path: '/spec/desired', value: 'No' }])).status).toBe(422)
    expect((await patch(json, [{ op: 'explode', path: '/' }])).status).toBe(400)
    for (const type of ['application/apply-patch+yaml', 'application/strategic-merge-patch+json'])
      expect((await patch(type, {})).body).toMatchObject({ code: 415, reason: 'UnsupportedMediaType' })
  })

  test('the status is a half of its own', async () => {
    const { body } = await create('status-half')
    const path = `${pathOf('environments', 'status-half')}/status`
    const next = {
      ...body,
      spec: { desired: 'Stopped' },
      status: { ...body.status, phase: 'Creating', epoch: 2 },
    }
    expect((await server.call('PUT', path, { ...as('ada'), body: next })).status).toBe(403)
    const written = await server.call('PUT', path, { ...as('admin'), body: next })
    expect(written.body.spec.desired).toBe('Running')
    expect(written.body.status).toMatchObject({ phase: 'Creating', epoch: 2 })
    expect(written.body.metadata.generation).toBe(1)
    const patch = { ...as('admin'), headers: MERGE, body: { status: { epoch: 1 } } }
    const fenced = await server.call('PATCH', path, patch)
    expect(fenced.status).toBe(409)
    expect(fenced.body.details.bothy.code).toBe('epoch-outdated')
    expect((await server.call('GET', path, as('eve'))).body.status.epoch).toBe(2)
  })
})

describe('delete', () => {
  test('removes at once without finalizers and answers the last state', async () => {
    const { body } = await create('gone')
    const path = pathOf('environments', 'gone')
    const wrong = { preconditions: { uid: '00000000-0000-7000-8000-000000000000' } }
    expect((await server.call('DELETE', path, { ...as('ada'), body: wrong })).status).toBe(409)
    expect((await server.call('DELETE', `${path}?dryRun=All`, as('ada'))).status).toBe(200)
    const right = { propagationPolicy: 'Background', preconditions: { uid: body.metadata.uid } }
    const gone = await server.call('DELETE', path, { ...as('ada'), body: right })
    expect(gone.body.metadata.uid).toBe(body.metadata.uid)
    expect((await server.call('GET', path, as('ada'))).status).toBe(404)
    expect((await server.call('DELETE', path, as('ada'))).status).toBe(404)
  })

  test('waits for finalizers; the last one to go takes the object along', async () => {
    await create('held', { metadata: { finalizers: ['example.com/hold'] } })
    const path = pathOf('environments', 'held')
    const marked = await server.call('DELETE', path, as('ada'))
    expect(marked.body.metadata.deletionTimestamp).toBeTypeOf('string')
    const patch = (finalizers: Json) =>
      server.call('PATCH', path, { ...as('ada'), headers: MERGE, body: { metadata: { finalizers } } })
    expect((await patch(['example.com/hold', 'example.com/more'])).status).toBe(422)
    expect((await patch(null)).status).toBe(200)
    expect((await server.call('GET', path, as('ada'))).status).toBe(404)
  })

  test('does not pretend to know other propagation policies', async () => {
    const path = pathOf('environments', 'any')
    const answer = await server.call('DELETE', path, {
      ...as('ada'),
      body: { propagationPolicy: 'Foreground' },
    })
    expect(answer.status).toBe(422)
  })
})

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

describe('discovery', () => {
  test('aggregated when asked for, plain otherwise, 304 when nothing changed', async () => {
    const plain = await server.call('GET', '/apis', as('eve'))
    expect(plain.body).toMatchObject({ kind: 'APIGroupList', groups: [{ name: 'bothy.dev' }] })
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json'
    const aggregated = await server.call('GET', '/apis', { ...as('eve'), headers: { accept } })
    expect(aggregated.headers['content-type']).toBe(
      'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList',
    )
    expect(aggregated.body.items[0].versions[0].resources.map((each: Json) => each.resource)).toEqual([
      'environments',
      'environmentclasses',
      'runners',
    ])
    const headers = { 'if-none-match': plain.headers['etag']! }
    expect((await server.call('GET', '/apis', { ...as('eve'), headers })).status).toBe(304)
    const resources = await server.call('GET', ROOT, as('eve'))
    expect(resources.body.resources.map((each: Json) => each.name)).toContain('environments/exec')
  })

  test('OpenAPI describes every kind with its group, version and kind', async () => {
    const index = await server.call('GET', '/openapi/v3', as('eve'))
    const url = index.body.paths['apis/bothy.dev/v1alpha1'].serverRelativeURL
    const { body } = await server.call('GET', url, as('eve'))
    const schema = body.components.schemas['dev.bothy.v1alpha1.Environment']
    expect(schema['x-kubernetes-group-version-kind']).toEqual([
      { group: 'bothy.dev', version: 'v1alpha1', kind: 'Environment' },
    ])
    expect(schema.properties.spec.properties.desired.enum).toEqual(['Running', 'Stopped'])
    const refs = [...JSON.stringify(body).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(
      match => match[1]!,
    )
    for (const ref of refs) expect(Object.keys(body.components.schemas)).toContain(ref)
  })

  test('what is not served is a 404 Status; another method is 405', async () => {
    for (const path of [
      '/openapi/v2',
      '/api/v1/namespaces/default',
      '/apis/authorization.k8s.io/v1',
      '/nothing',
    ])
      expect((await server.call('GET', path, as('eve'))).body).toMatchObject({ kind: 'Status', code: 404 })
    const answer = await server.call('DELETE', pathOf('environments'), as('admin'))
    expect(answer.body).toMatchObject({ code: 405, reason: 'MethodNotAllowed' })
  })
})
