import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isFault } from '../../../../lib/fault.ts'
import { decodeObject } from './envelope.ts'
import { type Bytes, join, message, string, strings, uint } from './writer.ts'

const envelope = (apiVersion: string, kind: string, content: Bytes): Bytes =>
  join(
    Buffer.from('k8s\0', 'latin1'),
    message(1, join(string(1, apiVersion), string(2, kind))),
    message(2, content),
  )
const pair = (key: string, value: string) => join(string(1, key), string(2, value))

describe('decodeObject', () => {
  test('a Namespace, with all that metadata may hold', () => {
    const metadata = join(
      string(1, 'team-a'),
      message(8, Buffer.alloc(0)),
      message(9, join(uint(1, 1_700_000_000), uint(2, 5_000_000))),
      message(11, pair('a', '1')),
      message(11, pair('b', '')),
      message(13, join(string(3, 'owner'), Buffer.from([6 * 8, 0]))),
      strings(14, ['x/one', 'x/two']),
      message(17, join(string(1, 'me'), message(7, string(1, '{"f:spec":{}}')))),
      string(99, 'from the future'),
    )
    const spec = strings(1, ['kubernetes'])
    expect(decodeObject(envelope('v1', 'Namespace', join(message(1, metadata), message(2, spec))))).toEqual({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: 'team-a',
        deletionTimestamp: '2023-11-14T22:13:20Z',
        labels: { a: '1', b: '' },
        ownerReferences: [{ name: 'owner', controller: false }],
        finalizers: ['x/one', 'x/two'],
        managedFields: [{ manager: 'me', fieldsV1: { 'f:spec': {} } }],
      },
      spec: { finalizers: ['kubernetes'] },
    })
  })

  test('an event, with times to the microsecond and numbers below zero', () => {
    const negative = Buffer.from([8 * 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])
    const content = join(
      message(2, join(string(1, 'Environment'), string(3, 'otter'))),
      negative,
      message(10, join(uint(1, 1), uint(2, 1_234_567))),
    )
    expect(decodeObject(envelope('v1', 'Event', content))).toMatchObject({
      involvedObject: { kind: 'Environment', name: 'otter' },
      count: -1,
      eventTime: '1970-01-01T00:00:01.001234Z',
    })
  })

  test('zero stays where it means something', () => {
    const options = join(Buffer.from([8, 0]), strings(5, ['All']))
    expect(decodeObject(envelope('any/v1', 'DeleteOptions', options))).toEqual({
      apiVersion: 'any/v1',
      kind: 'DeleteOptions',
      gracePeriodSeconds: 0,
      dryRun: ['All'],
    })
  })

  test.each([
    ['another kind', envelope('v1', 'Secret', Buffer.alloc(0)), 'unsupported_media_type'],
    ['a kind that every object has', envelope('toString', '', Buffer.alloc(0)), 'unsupported_media_type'],
    [
      'another encoding',
      join(envelope('v1', 'Event', Buffer.alloc(0)), string(3, 'gzip')),
      'unsupported_media_type',
    ],
    ['no magic', Buffer.from('{}'), 'malformed'],
    ['an end too early', envelope('v1', 'Namespace', Buffer.from([0x0a, 5, 1])), 'malformed'],
    ['a number without end', envelope('v1', 'Namespace', Buffer.alloc(12, 0xff)), 'malformed'],
    ['a group, which nobody uses', envelope('v1', 'Namespace', Buffer.from([0x0b])), 'malformed'],
    ['a number where a message should be', envelope('v1', 'Namespace', Buffer.from([8, 1])), 'malformed'],
    [
      'a prototype',
      envelope('v1', 'Namespace', message(1, message(11, pair('__proto__', 'x')))),
      'malformed',
    ],
    ['a year beyond all years', envelope('v1', 'Event', message(6, uint(1, 1e15))), 'malformed'],
    ['no UTF-8', envelope('v1', 'Namespace', message(1, message(1, Buffer.from([0xff])))), 'malformed'],
  ])('refuses %s', (_what, body, reason) => {
    expect(() => decodeObject(body)).toThrow(expect.objectContaining({ name: 'Fault', reason }))
  })

  test('whatever comes, it is an object or a fault', () => {
    const types = fc.constantFrom(
      ['v1', 'Namespace'],
      ['v1', 'Event'],
      ['events.k8s.io/v1', 'Event'],
      ['authorization.k8s.io/v1', 'SelfSubjectAccessReview'],
      ['v1', 'DeleteOptions'],
    )
    // Bytes that look like messages: a key, a short length, some content, again and again.
    const part = fc
      .tuple(fc.nat(200), fc.uint8Array({ maxLength: 40 }))
      .map(([key, content]) => Buffer.from([key, content.length, ...content]))
    const noise = fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes))
    const content = fc.oneof(
      noise,
      fc.array(part, { maxLength: 20 }).map(parts => join(...parts)),
    )
    const bodies = fc.oneof(
      noise,
      fc
        .tuple(types, content)
        .map(([[apiVersion = '', kind = ''], bytes]) => envelope(apiVersion, kind, bytes)),
    )
    fc.assert(
      fc.property(bodies, body => {
        try {
          expect(decodeObject(body)).toHaveProperty('kind')
        } catch (error) {
          if (!isFault(error)) throw error
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('the largest body that is taken takes no longer than its length asks for', () => {
    const label = message(11, pair('k', 'v'))
    const finalizer = strings(14, ['x'])
    const metadata = Buffer.concat(
      Array.from({ length: 60_000 }, (_, at) => (at % 2 === 0 ? label : finalizer)),
    )
    const decoded = decodeObject(envelope('v1', 'Namespace', message(1, metadata))) as {
      metadata: { finalizers: string[] }
    }
    expect(decoded.metadata.finalizers).toHaveLength(30_000)
  }, 5_000)
})
