import { describe, expect, test } from 'vitest'
import { explainToolFailure, lastWords } from './tool-failure.ts'

const fatal = (msg: string) => `time="2026-11-20T06:43:50Z" level=fatal msg=${JSON.stringify(msg)}\n`
const image = 'Error parsing image name "docker://r.example.com/a:1": '

// What skopeo 1.9.3 and umoci 0.4.7 printed.
describe('the words of skopeo and umoci', () => {
  test.each([
    [
      `${image}reading manifest 1 in r.example.com/a: manifest unknown: manifest unknown`,
      'not_found',
      'image-not-found',
    ],
    [
      `${image}reading manifest 1 in r.example.com/a: name unknown: repository name not known to registry`,
      'not_found',
      'image-not-found',
    ],
    [
      `${image}reading manifest 1 in r.example.com/a: unauthorized: authentication required`,
      'forbidden',
      'image-forbidden',
    ],
    [
      `${image}reading manifest 1 in r.example.com/a: denied: requested access to the resource is denied`,
      'forbidden',
      'image-forbidden',
    ],
    [
      `${image}reading manifest 1 in r.example.com/a: toomanyrequests: said 429`,
      'unavailable',
      'registry-busy',
    ],
    [
      `${image}reading manifest 1 in r.example.com/a: received unexpected HTTP status: 503 Service Unavailable`,
      'unavailable',
      'registry-unreachable',
    ],
    [
      `${image}pinging container registry r.example.com: Get "https://r.example.com/v2/": http: server gave HTTP response to HTTPS client`,
      'unavailable',
      'registry-untrusted',
    ],
    [
      `${image}pinging container registry r.example.com: Get "https://r.example.com/v2/": x509: certificate signed by unknown authority`,
      'unavailable',
      'registry-untrusted',
    ],
    [
      `${image}pinging container registry r.example.com: Get "https://r.example.com/v2/": dial tcp: lookup r.example.com on 192.0.2.53:53: no such host`,
      'unavailable',
      'registry-unreachable',
    ],
    [
      `${image}pinging container registry 127.0.0.1:5056: Get "http://127.0.0.1:5056/v2/": dial tcp 127.0.0.1:5056: connect: connection refused`,
      'unavailable',
      'registry-unreachable',
    ],
    [
      'initializing image from source docker://r.example.com/a:1: unsupported schema version 0',
      'invalid',
      'image-malformed',
    ],
    ['initializing source oci:l:: more than one image in oci, choose an image', 'invalid', 'image-malformed'],
    [
      'choosing an image from manifest list docker://r.example.com/a:1: no image found in manifest list for architecture amd64, variant "", OS linux',
      'invalid',
      'image-architecture',
    ],
    [
      'writing blob: write full/x/oci-put-blob2196814522: no space left on device',
      'exhausted',
      'image-no-space',
    ],
  ])('%s', (message, reason, code) => {
    const fault = explainToolFailure('fetch image a', fatal(message))
    expect(fault).toMatchObject({
      reason,
      code,
      hint: expect.any(String),
      message: /dial tcp/.test(message)
        ? expect.stringMatching(/^fetch image a: the registry cannot be reached: [^:]+$/)
        : `fetch image a: ${message}`,
    })
  })

  test.each([
    [
      '   • unpacking rootfs ...     \n   ⨯ create rootfs: unpack layer: unpack entry: big: unpack to regular file: short write: write r/big: no space left on device',
      'image-no-space',
    ],
    [
      '   ⨯ create rootfs: unpack layer: unpack entry: .: malicious tar entry -- refusing to change type of root directory',
      'image-malformed',
    ],
    ['   ⨯ tag is not found: nope   ', 'image-malformed'],
    ['', 'registry-unreachable'],
  ])('%s', (stderr, code) => {
    expect(explainToolFailure('unpack image a', stderr).code).toBe(code)
  })

  test("a registry's own status decides before any words", () => {
    const of = (status: number) => explainToolFailure('look up a', fatal('something new'), status).code
    expect([401, 403, 404, 429, 500].map(of)).toEqual([
      'image-forbidden',
      'image-forbidden',
      'image-not-found',
      'registry-busy',
      'registry-unreachable',
    ])
  })

  test('what was said is shown without control characters, unquoted, and not at any length', () => {
    expect(lastWords(`${fatal('first')}\n${fatal('a "b"\tc')}`)).toBe('a "b" c')
    expect(lastWords('level=fatal msg="broken \\q"')).toBe('broken \\q')
    expect(lastWords(`\u001b[31m${'x'.repeat(1000)}`)).toHaveLength(400)
  })
})
