// The small parsers of this face, as tables.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chooseDiscovery, chooseForm } from './accept.ts'
import { formatAge } from './age.ts'
import { jsonPatch } from './json-patch.ts'
import { parseJsonText } from './json-text.ts'
import { mergePatch } from './merge-patch.ts'
import { parseFieldSelector, parseLabelSelector } from './selectors.ts'
import { valueAt } from './table.ts'

describe('JSON at the border', () => {
  test('says what JSON.parse says of everything that has no doubled keys', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 8 }), text => {
        // `__proto__` is refused on purpose.
        fc.pre(!text.includes('__proto__'))
        const { value, duplicates } = parseJsonText(text)
        expect(value).toEqual(JSON.parse(text))
        expect(duplicates).toEqual([])
      }),
    )
  })

  test.each([
    ['{"a":1,"a":2}', ['a']],
    ['{"a":{"b":[{"c":1},{"c":1,"c":2}]}}', ['a.b[1].c']],
    ['{"a":"a","b":"a","\\u0061":3}', ['a']],
    ['[{"x":",{\\"x\\":1"},{"x":[]}]', []],
    ['{"a":{"x":1},"b":{"x":1}}', []],
  ])('%s: doubled %j', (text, expected) => {
    expect(parseJsonText(text).duplicates).toEqual(expected)
  })
})

describe('JSON patch', () => {
  const document = { a: { b: [1, 2, 3] }, 'x/y~z': 'old', n: null }
  test.each([
    [[{ op: 'add', path: '/a/b/1', value: 9 }], { ...document, a: { b: [1, 9, 2, 3] } }],
    [[{ op: 'add', path: '/a/b/-', value: 9 }], { ...document, a: { b: [1, 2, 3, 9] } }],
    [[{ op: 'remove', path: '/a/b/0' }], { ...document, a: { b: [2, 3] } }],
    [[{ op: 'replace', path: '/x~1y~0z', value: 'new' }], { ...document, 'x/y~z': 'new' }],
    [[{ op: 'move', from: '/a/b', path: '/c' }], { 'x/y~z': 'old', n: null, a: {}, c: [1, 2, 3] }],
    [
      [{ op: 'copy', from: '/a', path: '/a/again' }],
      { ...document, a: { b: [1, 2, 3], again: { b: [1, 2, 3] } } },
    ],
    [[{ op: 'test', path: '/n', value: null }], document],
    [[{ op: 'replace', path: '', value: 1 }], 1],
  ])('%j', (patch, expected) => {
    const before = structuredClone(document)
    expect(jsonPatch(document, patch)).toEqual(expected)
    expect(document).toEqual(before)
  })

  test.each([
    [[{ op: 'remove', path: '/missing' }], 'invalid'],
    [[{ op: 'replace', path: '/missing', value: 1 }], 'invalid'],
    [[{ op: 'add', path: '/a/b/7', value: 1 }], 'invalid'],
    [[{ op: 'add', path: '/a/b/01', value: 1 }], 'invalid'],
    [[{ op: 'add', path: '/missing/x', value: 1 }], 'invalid'],
    [[{ op: 'add', path: '/__proto__', value: {} }], 'invalid'],
    [[{ op: 'move', from: '/a', path: '/a/b/0' }], 'invalid'],
    [[{ op: 'test', path: '/n', value: 1 }], 'invalid'],
    [[{ op: 'add', path: 'a', value: 1 }], 'malformed'],
    [{ op: 'remove', path: '/a' }, 'malformed'],
  ])('%j is %s', (patch, reason) => {
    expect(() => jsonPatch(document, patch)).toThrow(expect.objectContaining({ reason }))
  })
})

test.each([
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b' }, { a: null }, {}],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [{ a: { b: 'c' } }, { a: { b: null, d: 'e' } }, { a: { d: 'e' } }],
  [{ a: 'x' }, { a: { b: { c: null } } }, { a: { b: {} } }],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [{ a: 1 }, 'text', 'text'],
])('merge patch of %j with %j', (target, patch, expected) => {
  expect(mergePatch(target, patch)).toEqual(expected)
})

test.each([
  [0, '0s'],
  [-5_000, '0s'],
  [119_000, '119s'],
  [5 * 60_000 + 10_000, '5m10s'],
  [42 * 60_000, '42m'],
  [3 * 3_600_000 + 5 * 60_000, '3h5m'],
  [12 * 3_600_000, '12h'],
  [6 * 86_400_000 + 2 * 3_600_000, '6d2h'],
  [400 * 86_400_000, '400d'],
])('an age of %i ms is shown as %s', (ms, shown) => {
  expect(formatAge(ms)).toBe(shown)
})

test('selectors: what is accepted, and what is refused', () => {
  expect(parseLabelSelector('a=b, c!=d,e in (f,g),h notin (i),j,!k,l==')).toEqual([
    { key: 'a', operator: 'in', values: ['b'] },
    { key: 'c', operator: 'not-in', values: ['d'] },
    { key: 'e', operator: 'in', values: ['f', 'g'] },
    { key: 'h', operator: 'not-in', values: ['i'] },
    { key: 'j', operator: 'exists', values: [] },
    { key: 'k', operator: 'absent', values: [] },
    { key: 'l', operator: 'in', values: [''] },
  ])
  expect(
    parseFieldSelector(
      'x=a\\,b\\=c\\\\,y!=',
      new Map([
        ['x', 'x'],
        ['y', 'spec.y'],
      ]),
    ),
  ).toEqual([
    { key: 'x', operator: 'in', values: ['a,b=c\\'] },
    { key: 'spec.y', operator: 'not-in', values: [''] },
  ])
  for (const text of ['a=b,,c=d', 'a in ()x', 'a=b c', '-a', 'a=(b)', '('.repeat(4096), 'a'.repeat(5000)])
    expect(() => parseLabelSelector(text), text.slice(0, 10)).toThrow(
      expect.objectContaining({ reason: 'malformed' }),
    )
  for (const text of ['x', 'z=1', 'x=a=b', 'x=a\\', 'x=a,'])
    expect(() => parseFieldSelector(text, new Map([['x', 'x']]))).toThrow(
      expect.objectContaining({ reason: 'malformed' }),
    )
})

test.each([
  [undefined, { form: 'json' }],
  ['application/json', { form: 'json' }],
  ['application/vnd.kubernetes.protobuf,application/json', { form: 'json' }],
  ['application/json;as=Table;v=v1;g=meta.k8s.io,application/json', { form: 'table', version: 'v1' }],
  ['application/json;as=Table;v=v9;g=meta.k8s.io,application/json', { form: 'json' }],
  [
    'application/json;q=0.1,application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io',
    { form: 'partial', version: 'v1' },
  ],
])('Accept: %s', (accept, expected) => {
  expect(chooseForm(accept)).toEqual(expected)
})

test('aggregated discovery only for whoever asks for it first', () => {
  expect(chooseDiscovery('application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList')).toBe(
    'v2beta1',
  )
  expect(chooseDiscovery('application/json, */*')).toBeUndefined()
})

test('column paths reach into lists by a key', () => {
  const object = { a: { b: 1 }, list: [{ type: 'Ready', status: 'True' }] }
  expect(valueAt(object, '.a.b')).toBe(1)
  expect(valueAt(object, '.list[?(@.type=="Ready")].status')).toBe('True')
  expect(valueAt(object, '.list[?(@.type=="Other")].status')).toBeUndefined()
  expect(valueAt(object, '.a.b.c.d')).toBeUndefined()
})
