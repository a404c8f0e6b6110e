import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type HttpsFixture, openHttps } from '../../test/support/https.ts'
import { Fault, REASONS, type Reason } from '../lib/fault.ts'
import { createManualClock } from '../lib/manual-clock.ts'
import { toStatus } from '../server/status.ts'
import { createClient } from './create-client.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void
const opened: HttpsFixture[] = []
const closing: (() => Promise<void>)[] = []
const serve = async (answer: Answer) => {
  const fixture = await openHttps(answer)
  opened.push(fixture)
  return fixture
}
const clientOf = ({ url, pki }: HttpsFixture, more: Partial<Parameters<typeof createClient>[0]> = {}) => {
  const client = createClient({ server: url, ca: pki.ca, credential: () => 'secret', ...more })
  closing.push(() => client.close())
  return client
}
const json = (response: ServerResponse, status: number, body: unknown) => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
  for (const fixture of opened.splice(0)) await fixture.close()
})

describe('whom it talks to', () => {
  test.each([
    ['http://127.0.0.1:1', 'without TLS'],
    ['127.0.0.1:1', ''],
    ['https://user:pw@host', 'user and password'],
    ['https://host/path', 'follows the port'],
    ['https://host/?a', 'follows the port'],
    ['', ''],
  ])('%s is no address of a server', (server, hint) => {
    expect(() => createClient({ server, ca: '', credential: () => '' })).toThrow(
      expect.objectContaining({ reason: 'malformed', hint: expect.stringContaining(hint) }),
    )
  })

  test.each([301, 302, 303, 307, 308])('a redirect (%i) is not followed', async status => {
    const asked: (string | undefined)[] = []
    const other = await serve((request, response) => {
      asked.push(request.headers.authorization)
      json(response, 200, {})
    })
    const fixture = await serve((_request, response) => {
      response.writeHead(status, { location: `${other.url}/whoami` }).end()
    })
    await expect(clientOf(fixture).request('GET', '/whoami')).rejects.toMatchObject({
      reason: 'unavailable',
      code: 'redirect-refused',
    })
    expect(asked).toEqual([])
  })

  test('what is no path on the server is not asked for', async () => {
    const asked: (string | undefined)[] = []
    const fixture = await serve((request, response) => {
      asked.push(request.url)
      json(response, 200, {})
    })
    const client = clientOf(fixture)
    for (const path of ['//other/x', 'https://other/x', '/\\other', 'x', '', '/a b', '/a\r\nHost: other']) {
      await expect(client.request('GET', path), path).rejects.toMatchObject({ code: 'path-invalid' })
    }
    expect(asked).toEqual([])
  })

  test('a server with a certificate of another authority, or for another name, never sees the token', async () => {
    const asked: unknown[] = []
    const seen: Answer = (request, response) => {
      asked.push(request.headers.authorization)
      json(response, 200, {})
    }
    const [one, two] = [await serve(seen), await serve(seen)]
    const named = await openHttps(seen, ['example.com'])
    opened.push(named)
    const certificate = { reason: 'unavailable', hint: expect.stringContaining('certificate') }
    await expect(clientOf(one, { ca: two.pki.ca }).request('GET', '/')).rejects.toMatchObject(certificate)
    await expect(clientOf(named).request('GET', '/')).rejects.toMatchObject(certificate)
    expect(asked).toEqual([])
  })

  test('a server that is not there is unavailable, and its address is in the hint', async () => {
    const { url, pki, close } = await serve(() => undefined)
    await close()
    const client = createClient({ server: url, ca: pki.ca, credential: () => '' })
    await expect(client.store.list('Runner')).rejects.toMatchObject({
      name: 'Fault',
      reason: 'unavailable',
      message: expect.stringContaining('ECONNREFUSED'),
      hint: expect.stringContaining(url),
    })
  })
})

describe('what it says', () => {
  test('the token of the moment goes along, on a connection that is kept', async () => {
    const seen: unknown[] = []
    const ports = new Set<number | undefined>()
    const fixture = await serve((request, response) => {
      seen.push([request.method, request.url, request.headers.authorization, request.headers['content-type']])
      ports.add(request.socket.remotePort)
      json(response, 200, {})
    })
    let count = 0
    const client = clientOf(fixture, { credential: async () => `t${++count}` })
    await client.request('GET', '/a', { query: { b: 'c d' } })
    await client.request('PATCH', '/a', { body: {}, contentType: 'application/merge-patch+json' })
    expect(seen).toEqual([
      ['GET', '/a?b=c+d', 'Bearer t1', undefined],
      ['PATCH', '/a', 'Bearer t2', 'application/merge-patch+json'],
    ])
    expect(ports.size).toBe(1)
    const anonymous = clientOf(fixture, { credential: () => '' })
    await anonymous.request('GET', '/a')
    expect(seen.at(-1)).toEqual(['GET', '/a', undefined, undefined])
  })

  test('a kept connection that the server closed meanwhile is no fault of a read, nor a second write', async () => {
    const seen: (string | undefined)[] = []
    let cut = false
    const fixture = await serve((request, response) => {
      seen.push(request.method)
      if (cut) {
        cut = false
        request.socket.destroy()
      } else json(response, 200, {})
    })
    const client = clientOf(fixture)
    await client.request('GET', '/')
    cut = true
    await client.request('GET', '/')
    cut = true
    await expect(client.request('POST', '/')).rejects.toMatchObject({ reason: 'unavailable' })
    expect(seen).toEqual(['GET', 'GET', 'GET', 'POST'])
  })

  test('an abort ends the request', async () => {
    const abort = new AbortController()
    const fixture = await serve(() => abort.abort())
    const client = clientOf(fixture)
    await expect(client.request('GET', '/', { signal: abort.signal })).rejects.toMatchObject({
      reason: 'cancelled',
    })
    await expect(client.request('GET', '/', { signal: abort.signal })).rejects.toMatchObject({
      reason: 'cancelled',
    })
  })
})

describe('what it hears', () => {
  test.each(Object.keys(REASONS) as Reason[])('a fault that is %s arrives as it was raised', async reason => {
    const raised = new Fault(reason, 'some-code', 'do this on that: no', {
      hint: 'do it otherwise',
      causes: [
        { field: 'spec.a', message: 'too long', reason: 'FieldValueTooLong' },
        { field: 'b', message: 'c' },
      ],
      object: { kind: 'environments', group: 'bothy.dev', name: 'x', uid: 'u' },
    })
    const fixture = await serve((_request, response) =>
      json(response, REASONS[reason].status, toStatus(raised)),
    )
    const error = await clientOf(fixture)
      .request('GET', '/')
      .catch((thrown: unknown) => thrown)
    const { reason: got, code, message, hint, causes, object } = error as Fault
    expect({ got, code, message, hint, causes, object }).toEqual({
      got: reason,
      code: 'some-code',
      message: raised.message,
      hint: raised.hint,
      causes: raised.causes,
      object: raised.object,
    })
  })

  test.each([
    [409, { kind: 'Status', reason: 'AlreadyExists', code: 409, message: 'm' }, 'already_exists'],
    [409, { kind: 'Status', reason: 'Conflict', code: 409, message: 'm' }, 'conflict'],
    [410, { kind: 'Status', reason: 'Gone', code: 410, message: 'm' }, 'expired'],
    [500, { kind: 'Status', reason: 'InternalError', code: 500, message: 'm' }, 'internal'],
    [502, '<html>bad gateway</html>', 'unavailable'],
    [404, 'nothing here', 'not_found'],
    [418, '', 'malformed'],
  ])('an answer of %i from somebody else is understood as far as possible', async (status, body, reason) => {
    const fixture = await serve((_request, response) => json(response, status, body))
    await expect(clientOf(fixture).request('GET', '/')).rejects.toMatchObject({ reason })
  })

  test('an answer that breaks off is unavailable', async () => {
    const fixture = await serve((request, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('{"half":')
      setImmediate(() => request.socket.destroy())
    })
    await expect(clientOf(fixture).request('GET', '/')).rejects.toMatchObject({ reason: 'unavailable' })
  })

  test('an answer that is no JSON, or no object of the kind, is not taken for one', async () => {
    let body: unknown = 'text'
    const fixture = await serve((_request, response) => void response.writeHead(200).end(body))
    const { store } = clientOf(fixture)
    const key = { kind: 'Runner', namespace: 'a', name: 'b' } as const
    for (body of ['text', '', 'null', '{}', '{"kind":"Environment","metadata":{"name":"b"}}']) {
      await expect(store.find(key), String(body)).rejects.toMatchObject({ code: 'answer-malformed' })
    }
  })
})

describe('a watch', () => {
  const object = (rv: number) => ({
    apiVersion: 'bothy.dev/v1alpha1',
    kind: 'Runner',
    metadata: {
      name: 'r',
      namespace: 'n',
      uid: 'u',
      resourceVersion: String(rv),
      generation: 1,
      creationTimestamp: '',
    },
    spec: { cordoned: false },
    status: { conditions: [] },
  })
  const line = (type: string, of: unknown) => `${JSON.stringify({ type, object: of })}\n`

  /** A server that hands each watch out, and a client that watches. */
  const setUp = async () => {
    const clock = createManualClock()
    const streams: ServerResponse[] = []
    const asked: (string | undefined)[] = []
    const fixture = await serve((request, response) => {
      asked.push(request.url)
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
      streams.push(response)
      fixture.server.emit('watch')
    })
    const { store } = clientOf(fixture, { clock })
    const abort = new AbortController()
    const changes = store.watch(
      'Runner',
      { from: '7', fields: { 'metadata.name': 'a,b=c\\d' } },
      abort.signal,
    )
    const iterator = changes[Symbol.asyncIterator]()
    const first = iterator.next()
    first.catch(() => undefined)
    await once(fixture.server, 'watch')
    return { clock, stream: streams[0]!, asked, iterator, first, abort }
  }

  test('asks from the revision on, and puts lines together however they come', async () => {
    const { stream, asked, iterator, first } = await setUp()
    expect(decodeURIComponent(asked[0]!)).toBe(
      '/apis/bothy.dev/v1alpha1/runners?fieldSelector=metadata.name=a\\,b\\=c\\\\d&watch=true&allowWatchBookmarks=true&resourceVersion=7',
    )
    const bytes = Buffer.from(line('ADDED', { ...object(8), spec: { cordoned: false, é: '✓' } }))
    for (const byte of bytes) stream.write(Buffer.of(byte))
    expect((await first).value).toMatchObject({ at: '8', type: 'put', object: { spec: { é: '✓' } } })
    stream.write(line('BOOKMARK', object(9)) + line('MODIFIED', object(10)) + line('DELETED', object(11)))
    expect((await iterator.next()).value).toMatchObject({ at: '10', type: 'put' })
    expect((await iterator.next()).value).toMatchObject({ at: '11', type: 'gone' })
  })

  test('a revision that is no longer known is expired, in the answer or in the stream', async () => {
    const { stream, first } = await setUp()
    stream.end(line('ERROR', toStatus(new Fault('expired', 'compacted', 'watch: too old'))))
    await expect(first).rejects.toMatchObject({ reason: 'expired', code: 'compacted' })
  })

  test('an end, a break and garbage are unavailable', async () => {
    const ends: readonly ((stream: ServerResponse) => void)[] = [
      stream => stream.end(),
      stream => void (stream.socket as Socket).destroy(),
      stream => stream.end('{"type":"ADDED"'),
      stream => stream.end('garbage\n'),
    ]
    for (const end of ends) {
      const { stream, first } = await setUp()
      end(stream)
      await expect(first).rejects.toMatchObject({ reason: 'unavailable' })
    }
  })

  test('silence for 90 s is a dead path; a bookmark is a sign of life', async () => {
    const { clock, stream, first, iterator } = await setUp()
    await vi.waitUntil(() => clock.sleepers > 0)
    await clock.advance(80_000)
    stream.write(line('ADDED', object(8)))
    expect((await first).value).toMatchObject({ at: '8' })
    const second = expect(iterator.next()).rejects.toMatchObject({
      reason: 'unavailable',
      code: 'watch-silent',
    })
    await clock.advance(89_000)
    expect(stream.closed).toBe(false)
    await clock.advance(92_000)
    await second
    await vi.waitUntil(() => stream.closed)
  })

  test('a consumer that takes its time is no silence', async () => {
    const { clock, stream, first, iterator } = await setUp()
    stream.write(line('ADDED', object(8)))
    await first
    await clock.advance(1_000_000)
    stream.write(line('ADDED', object(9)))
    expect((await iterator.next()).value).toMatchObject({ at: '9' })
  })

  test('an abort ends it, and the connection with it', async () => {
    const { stream, first, abort } = await setUp()
    abort.abort()
    expect((await first).done).toBe(true)
    await vi.waitUntil(() => stream.closed)
  })
})
