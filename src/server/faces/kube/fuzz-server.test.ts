// Random requests on every route, by somebody who may do everything: each gets an answer that is the client's fault or
// none, and afterwards the server does what it did before. fast-check prints the seed of a failure.
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  environment,
  type Json,
  pathOf,
  type ServerFixture,
  startServer,
} from '../../../../test/support/server.ts'
import { REVIEWS } from './discovery.ts'
import { message, string } from './protobuf/writer.ts'
import { READ_ONLY } from './read-only/resources.ts'
import { rootOf, SERVED } from './served.ts'

let server: ServerFixture
beforeAll(async () => {
  server = await startServer()
  for (const name of ['a', 'b'])
    await server.call('POST', pathOf('environments'), { token: server.tokens.admin, body: environment(name) })
})
afterAll(() => server.close())

/** Of an environment without a runner; of a revision from the future. */
const EXPECTED = [503, 504]
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']
const TYPES = [
  'application/json',
  'application/merge-patch+json',
  'application/json-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
  'application/vnd.kubernetes.protobuf',
  'text/plain',
]

const segment = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a', 'b', 'default', 'small', 'x') },
  {
    weight: 1,
    arbitrary: fc
      .oneof(fc.string({ minLength: 1, maxLength: 8 }), fc.constantFrom('..', 'constructor', '\0', 'A'))
      .map(encodeURIComponent),
  },
)
const paths = fc
  .tuple(
    fc.constantFrom(...SERVED),
    segment,
    segment,
    fc.constantFrom('', '/status', '/exec', '/x'),
    fc.nat(3),
  )
  .map(([served, namespace, name, sub, shape]) => {
    const root = rootOf(served)
    const collection = served.namespaced ? `${root}/namespaces/${shape < 3 ? 'default' : namespace}` : root
    if (shape === 0) return `${root}/${served.plural}`
    return shape === 1 ? `${collection}/${served.plural}` : `${collection}/${served.plural}/${name}${sub}`
  })
const others = fc.constantFrom(
  ...REVIEWS.map(each => `${rootOf(each)}/${each.plural}`),
  ...READ_ONLY.map(each => `${rootOf(each)}/${each.plural}/x`),
  ...['/api', '/apis', '/openapi/v2', '/openapi/v3', '/version', '/whoami', '/nothing'],
)
const parameters = fc
  .array(
    fc.tuple(
      fc.constantFrom(
        ...[
          'limit',
          'continue',
          'resourceVersion',
          'resourceVersionMatch',
          'sendInitialEvents',
          'labelSelector',
          'fieldSelector',
          'dryRun',
          'fieldManager',
          'fieldValidation',
          'force',
          'propagationPolicy',
          'gracePeriodSeconds',
          'includeObject',
        ],
      ),
      fc.oneof(
        fc.constantFrom(
          '',
          '0',
          '1',
          '-1',
          'All',
          'Exact',
          'NotOlderThan',
          'Strict',
          'Ignore',
          'm',
          'a=b',
          'a in (b)',
          'metadata.name=a',
          'spec.runner=',
          'Orphan',
          'true',
          '\0',
        ),
        fc.string({ maxLength: 6 }),
      ),
    ),
    { maxLength: 3 },
  )
  .map(pairs => new URLSearchParams(pairs).toString())

const key = fc.constantFrom(
  'a',
  'labels',
  'annotations',
  'finalizers',
  'ownerReferences',
  'managedFields',
  'env',
  'content',
  'class',
  'regarding',
  'toString',
  '$patch',
  'op',
  'path',
  'value',
  'from',
  'uid',
  'name',
  'kind',
  'preconditions',
  'dryRun',
  'resourceAttributes',
)
const value = fc.letrec<{ any: unknown }>(tie => ({
  any: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom<unknown>(
      'a',
      '',
      '\0',
      '/metadata/labels',
      'add',
      'replace',
      null,
      0,
      -1,
      1e300,
      true,
      '2030-01-01T00:00:00Z',
      '\ud800',
      'Environment',
    ),
    fc.array(tie('any'), { maxLength: 3 }),
    fc.dictionary(key, tie('any'), { maxKeys: 4 }),
  ),
})).any
/** Objects that are right but for some part. */
const nearly = fc
  .tuple(
    fc.constantFrom(...SERVED),
    fc.dictionary(fc.constantFrom('metadata', 'spec', 'status', 'kind', 'regarding'), value, { maxKeys: 2 }),
    fc.dictionary(key, value, { maxKeys: 3 }),
  )
  .map(([{ apiVersion, kind }, more, metadata]) => ({
    apiVersion,
    kind,
    metadata: { name: 'a', ...metadata },
    spec: {},
    ...more,
  }))
const operations = fc.array(
  fc.record({
    op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test'),
    path: fc.constantFrom(
      '',
      '/spec',
      '/metadata',
      '/metadata/labels',
      '/metadata/managedFields/0',
      '/a/b',
      '/spec/env/x',
    ),
    from: fc.constantFrom('/spec', '/metadata', ''),
    value,
  }),
  { maxLength: 4 },
)
const bodies = fc.oneof(
  { weight: 4, arbitrary: fc.oneof(nearly, value, operations).map(each => JSON.stringify(each) ?? '') },
  { weight: 1, arbitrary: fc.string({ maxLength: 40 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('k8s\0', `k8s\0${String(message(1, string(1, 'v1')))}`, '{', 'a: &b [*b]', ''),
  },
)
/** Anything at all. */
const wild = fc.record({
  method: fc.constantFrom(...METHODS),
  path: fc.oneof({ weight: 9, arbitrary: paths }, { weight: 1, arbitrary: others }),
  query: parameters,
  type: fc.constantFrom(...TYPES),
  body: bodies,
})
/** What gets past the first checks: the right method, media type and kind, and something odd in one place. */
const odd = fc
  .tuple(
    fc.constantFrom(...SERVED),
    fc.constantFrom('POST', 'PUT', ...TYPES.slice(1, 5)),
    fc.constantFrom('a', 'b', 'c', 'd'),
    fc.constantFrom('metadata', 'spec', 'status'),
    key,
    value,
    operations,
    fc.constantFrom('', '', '/status'),
  )
  .map(([served, way, name, part, field, something, steps, sub]) => {
    const { apiVersion, kind, plural, namespaced } = served
    const collection = `${rootOf(served)}${namespaced ? '/namespaces/default' : ''}/${plural}`
    const sound: Json = { apiVersion, kind, metadata: { name }, spec: {}, status: {}, regarding: {} }
    const object = { ...sound, [part]: { ...sound[part], [field]: something } }
    return {
      method: way.includes('/') ? 'PATCH' : way,
      path: way === 'POST' ? collection : `${collection}/${name}${sub}`,
      query: way === 'application/apply-patch+yaml' ? 'fieldManager=m&force=true' : '',
      type: way.includes('/') ? way : 'application/json',
      body: JSON.stringify(way === 'application/json-patch+json' ? steps : object),
    }
  })
const requests = fc.oneof({ weight: 2, arbitrary: odd }, { weight: 1, arbitrary: wild })

test('every request is answered, and never with the server’s own fault', async () => {
  const seen = new Set<number>()
  await fc.assert(
    fc.asyncProperty(fc.array(requests, { minLength: 8, maxLength: 8 }), async batch => {
      const answers = await Promise.all(
        batch.map(async ({ method, path, query, type, body }) => {
          const headers = { 'content-type': type }
          const answer = await server.call(method, `${path}?${query}`, {
            token: server.tokens.admin,
            body,
            headers,
          })
          return { answer, said: `${method} ${path}?${query} (${type}): ${body}` }
        }),
      )
      for (const { answer, said } of answers) {
        seen.add(answer.status)
        expect(
          answer.status < 500 || EXPECTED.includes(answer.status),
          `${said}\n${answer.status} ${answer.text}`,
        ).toBe(true)
        if (answer.status >= 400)
          expect(answer.body, said).toMatchObject({ kind: 'Status', code: answer.status })
      }
    }),
    { numRuns: 60, endOnFailure: true },
  )
  for (const status of [200, 201, 400, 404, 422]) expect(seen).toContain(status)
  expect(Object.keys(Object.prototype)).toEqual([])
  const found: Json = await server.call('GET', pathOf('environments'), { token: server.tokens.eve })
  expect(found.status).toBe(200)
})
