// Requests that are wrong: the status code and reason that Kubernetes would give, with a Status that says which field.
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ALL, IT, type OneObject, startWithOneObject } from '../../../../test/support/one-object.ts'
import { refused } from '../../../../test/support/refused.ts'
import { environment, ROOT } from '../../../../test/support/server.ts'

let server: OneObject['server']
let call: OneObject['call']
beforeAll(async () => {
  ;({ server, call } = await startWithOneObject())
})
afterAll(() => server.close())

describe('lists and watches', () => {
  test.each([
    ['limit=one', 400, 'BadRequest', []],
    ['limit=NaN', 400, 'BadRequest', []],
    ['limit=99999999999999999999', 400, 'BadRequest', []],
    ['timeoutSeconds=soon', 400, 'BadRequest', []],
    ['continue=forged', 400, 'BadRequest', []],
    ['continue=%00', 400, 'BadRequest', []],
    ['continue=eyJ2IjoxLCJhdCI6IjEwMDAiLCJuYW1lc3BhY2UiOiJvdGhlciIsIm5hbWUiOiJhIn0', 400, 'BadRequest', []],
    ['resourceVersion=abc', 400, 'BadRequest', []],
    ['resourceVersion=-1', 400, 'BadRequest', []],
    ['watch=true&resourceVersion=abc', 400, 'BadRequest', []],
    ['resourceVersion=999999999999', 504, 'Timeout', ['']],
    ['resourceVersion=9223372036854775807', 504, 'Timeout', ['']],
    ['resourceVersion=999999999999&resourceVersionMatch=Exact', 504, 'Timeout', ['']],
    [
      'watch=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan&resourceVersion=999999999',
      504,
      'Timeout',
      [''],
    ],
    ['resourceVersion=1&resourceVersionMatch=Exact', 410, 'Expired', []],
    ['resourceVersionMatch=Exact', 422, 'Invalid', ['resourceVersionMatch']],
    ['resourceVersion=0&resourceVersionMatch=Exact', 422, 'Invalid', ['resourceVersionMatch']],
    ['resourceVersion=1&resourceVersionMatch=Nearly', 422, 'Invalid', ['resourceVersionMatch']],
    ['resourceVersion=1&resourceVersionMatch=Exact&continue=x', 422, 'Invalid', ['resourceVersionMatch']],
    ['sendInitialEvents=false', 422, 'Invalid', ['sendInitialEvents']],
    ['watch=true&sendInitialEvents=true', 422, 'Invalid', ['resourceVersionMatch']],
    ['watch=true&resourceVersionMatch=NotOlderThan', 422, 'Invalid', ['resourceVersionMatch']],
    ['labelSelector=a%3D%3D%3Db', 400, 'BadRequest', []],
    ['labelSelector=%00', 400, 'BadRequest', []],
    ['labelSelector=a%20in%20(b', 400, 'BadRequest', []],
    ['fieldSelector=spec.env%3Dx', 400, 'BadRequest', []],
    ['fieldSelector=__proto__%3Dx', 400, 'BadRequest', []],
    ['includeObject=Some', 400, 'BadRequest', []],
  ])('%s: %i %s', async (query, status, reason, fields) => {
    expect(refused(await call('GET', `${ALL}?${query}`), status, reason)).toEqual(fields)
  })

  test.each([
    ['limit=-1', 1],
    ['limit=9999999999', 1],
    ['limit=1&limit=x', 1],
    ['timeoutSeconds=-1', 1],
    ['a=%ff&%zz&__proto__=1', 1],
    ['labelSelector=constructor', 0],
    ['labelSelector=toString', 0],
    ['labelSelector=!constructor', 1],
    ['resourceVersion=1&resourceVersionMatch=NotOlderThan', 1],
  ])('%s is answered with %i objects', async (query, count) => {
    const { status, body } = await call('GET', `${ALL}?${query}`)
    expect(status).toBe(200)
    expect(body.items).toHaveLength(count)
  })

  test.each([
    [{ v: 1, at: '1001', namespace: 'default', name: 'a\0' }, 400],
    [{ v: 1, at: '1001', namespace: 'other', name: 'a' }, 400],
    [{ v: 2, at: '1001', namespace: 'default', name: 'a' }, 400],
    [{ v: 1, at: '1 OR 1=1', namespace: 'default', name: 'a' }, 400],
    [{ v: 1, at: '5', namespace: 'default', name: 'a' }, 410],
    [{ v: 1, at: '999999999999', namespace: 'default', name: 'a' }, 410],
  ])('a continue token that says %j is %i', async (position, status) => {
    const token = Buffer.from(JSON.stringify(position)).toString('base64url')
    const { body } = await call('GET', `${ALL}?limit=1&continue=${token}`)
    expect(body).toMatchObject({
      kind: 'Status',
      code: status,
      reason: status === 400 ? 'BadRequest' : 'Expired',
    })
  })

  test('one object is not watched, it is answered', async () => {
    expect((await call('GET', `${IT}?watch=true`)).body.metadata.name).toBe('it')
  })
})

describe('paths and methods', () => {
  test.each([
    ['Big_Name', 404, 'NotFound'],
    ['a--b', 404, 'NotFound'],
    ['%C3%BC', 404, 'NotFound'],
    ['constructor', 404, 'NotFound'],
    ['a'.repeat(300), 404, 'NotFound'],
    ['x//', 404, 'NotFound'],
    ['a%2Fb', 400, 'BadRequest'],
    ['a%252Fb', 400, 'BadRequest'],
    ['%00', 400, 'BadRequest'],
    ['a%0d%0aSet-Cookie:b', 400, 'BadRequest'],
    ['%ff', 400, 'BadRequest'],
    ['%zz', 400, 'BadRequest'],
  ])('GET environments/%s: %i', async (name, status, reason) => {
    const answer = await call('GET', `${ALL}/${name}`)
    refused(answer, status, reason)
    expect(answer.headers['set-cookie']).toBeUndefined()
  })

  test('a slash at the end means nothing; other spellings of a path are other paths', async () => {
    expect((await call('GET', `${IT}/`)).status).toBe(200)
    for (const path of [
      IT.toUpperCase(),
      `${ROOT}/namespaces//environments`,
      '/apis/bothy.dev/v9/environments',
    ])
      expect((await call('GET', path)).status).toBeGreaterThanOrEqual(400)
  })

  test.each(['HEAD', 'OPTIONS', 'POST'])('%s on an object is 405', async method => {
    const answer = await server.open(IT, {
      token: server.tokens.ada,
      headers: { 'x-http-method-override': 'GET' },
    })
    answer.resume()
    const status =
      method === 'HEAD' ? (await head(IT)).status : (await call(method, IT, { body: '{}' })).status
    expect(status).toBe(405)
  })

  test('in a namespace that is none', async () => {
    expect((await call('GET', `${ROOT}/namespaces/Not_One/environments`)).body.items).toEqual([])
    const made = await call('POST', `${ROOT}/namespaces/nowhere/environments`, { body: environment('x') })
    refused(made, 404, 'NotFound')
  })

  test.each(['User', 'Group', 'Uid', 'Extra-scopes'])('Impersonate-%s is 403, never ignored', async what => {
    refused(await call('GET', ALL, { headers: { [`Impersonate-${what}`]: 'root' } }), 403, 'Forbidden')
  })
})

describe('on the wire', () => {
  test.each([
    ['two lengths that differ', 'Content-Length: 2\r\nContent-Length: 3\r\n', '{}'],
    ['a length and chunks', 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'],
    ['chunked, but not at last', 'Transfer-Encoding: chunked, identity\r\n', '0\r\n\r\n'],
    ['a space before the colon', 'Content-Length : 2\r\n', '{}'],
    ['a header over two lines', 'X-A: b\r\n c: d\r\nContent-Length: 2\r\nTransfer-Encoding: x\r\n', '{}'],
  ])('%s: refused, and what follows is not read as a request', async (_, headers, body) => {
    const hidden = `GET /version HTTP/1.1\r\nHost: x\r\n\r\n`
    const head = `POST ${ALL} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.tokens.ada}\r\n`
    const answer = await raw(`${head}${headers}\r\n${body}${hidden}`)
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(answer.match(/HTTP\/1\.1 /g)).toHaveLength(1)
  })

  test('double slashes and whole URLs lead nowhere else', async () => {
    const token = `Authorization: Bearer ${server.tokens.ada}\r\nConnection: close\r\n\r\n`
    expect(await raw(`GET /${IT} HTTP/1.1\r\nHost: x\r\n${token}`)).toMatch(/^HTTP\/1\.1 404 /)
    expect(await raw(`GET https://evil.example${IT} HTTP/1.1\r\nHost: x\r\n${token}`)).toMatch(
      /^HTTP\/1\.1 [24]0[04] /,
    )
    expect(await raw(`GET ${IT} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 401 /,
    )
  })
})

async function head(path: string): Promise<{ status: number }> {
  const answer = await raw(
    `HEAD ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${server.tokens.ada}\r\nConnection: close\r\n\r\n`,
  )
  return { status: Number(answer.split(' ')[1]) }
}

/** Bytes as they are, and everything that comes back until the server closes. */
function raw(text: string): Promise<string> {
  const { hostname, port } = new URL(server.url())
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect({ host: hostname, port: Number(port), ca: server.pki.ca }, () =>
      socket.write(text),
    )
    socket.on('data', chunk => {
      answer += String(chunk)
    })
    socket.once('error', reject)
    socket.once('close', () => resolve(answer))
  })
}
