import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { environment } from '../kinds/environment.ts'
import { compareValues } from './compare.ts'
import { fieldSetOf, reconcileSet } from './field-set.ts'
import { parseFieldsV1, toFieldsV1 } from './fields-v1.ts'
import type { JsonMap } from './json.ts'
import { goJson } from './json.ts'
import { objectType } from './object-type.ts'
import { typeOfSchema } from './schema-type.ts'

const text = { type: 'string' }

function owned(
  schema: JsonMap,
  value: unknown,
  definitions: Readonly<Record<string, JsonMap>> = {},
): JsonMap {
  const type = typeOfSchema({ type: 'object', properties: { x: schema } }, ref => definitions[ref])
  return toFieldsV1(fieldSetOf(type, { x: value }))
}

describe('what is owned of a value follows from its schema', () => {
  test.each([
    ['a scalar', text, 'a', { 'f:x': {} }],
    ['null', text, null, { 'f:x': {} }],
    ['a list as a whole', { type: 'array', items: text }, ['a'], { 'f:x': {} }],
    [
      'a set by values',
      { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
      ['b', 'a'],
      { 'f:x': { 'v:"a"': {}, 'v:"b"': {} } },
    ],
    [
      'a map list by keys, numbers in order',
      {
        type: 'array',
        items: { type: 'object', properties: { port: { type: 'integer' } } },
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['port'],
      },
      [{ port: 80 }, { port: 9 }],
      {
        'f:x': {
          'k:{"port":9}': { '.': {}, 'f:port': {} },
          'k:{"port":80}': { '.': {}, 'f:port': {} },
        },
      },
    ],
    [
      'a map list without keys as a whole',
      { type: 'array', items: {}, 'x-kubernetes-list-type': 'map' },
      [{ port: 80 }],
      { 'f:x': {} },
    ],
    [
      'a map by its keys',
      { type: 'object', additionalProperties: text },
      { a: '1' },
      { 'f:x': { 'f:a': {} } },
    ],
    [
      'an atomic map as a whole',
      { type: 'object', additionalProperties: text, 'x-kubernetes-map-type': 'atomic' },
      { a: '1' },
      { 'f:x': {} },
    ],
    [
      'fields that are not declared by themselves, whether kept or not',
      { type: 'object', properties: { a: text }, 'x-kubernetes-preserve-unknown-fields': true },
      { b: { c: 1 } },
      { 'f:x': { 'f:b': { '.': {}, 'f:c': {} } } },
    ],
    ['a schema that leaves all open', {}, { b: [1] }, { 'f:x': { 'f:b': {} } }],
    [
      'a value or null',
      { anyOf: [{ type: 'object', properties: { a: text } }, { type: 'null' }] },
      { a: 1 },
      { 'f:x': { 'f:a': {} } },
    ],
    [
      'a type or null',
      { type: ['object', 'null'], properties: { a: text } },
      { a: 1 },
      { 'f:x': { 'f:a': {} } },
    ],
    ['an int or a string', { 'x-kubernetes-int-or-string': true }, 7, { 'f:x': {} }],
    ['an unknown reference', { $ref: '#/nowhere' }, { a: 1 }, { 'f:x': { 'f:a': {} } }],
  ] as const)('%s', (_, schema, value, fields) => {
    expect(JSON.stringify(owned(schema, value))).toBe(JSON.stringify(fields))
  })

  test('through references, also such that come back to themselves, and with an override', () => {
    const tree = { type: 'object', properties: { name: text, child: { $ref: 'Tree' } } }
    expect(owned({ allOf: [{ $ref: 'Tree' }] }, { child: { child: { name: 'n' } } }, { Tree: tree })).toEqual(
      {
        'f:x': { 'f:child': { 'f:child': { 'f:name': {} } } },
      },
    )
    expect(owned({ $ref: 'Tree', 'x-kubernetes-map-type': 'atomic' }, { name: 'n' }, { Tree: tree })).toEqual(
      {
        'f:x': {},
      },
    )
  })

  test('of a kind of ours', () => {
    const schema = (of: z.ZodType) => z.toJSONSchema(of, { io: 'input' })
    const type = objectType({ spec: schema(environment.spec), status: schema(environment.status) })
    const object = {
      metadata: { labels: { a: 'b' } },
      spec: { class: 'small', content: { git: { url: 'u' } }, env: { A: '1' } },
    }
    expect(toFieldsV1(fieldSetOf(type, object))).toEqual({
      'f:metadata': { 'f:labels': { 'f:a': {} } },
      'f:spec': { 'f:class': {}, 'f:content': { 'f:git': { 'f:url': {} } }, 'f:env': { 'f:A': {} } },
    })
  })
})

describe('a set written under an older schema', () => {
  const fields = { 'f:x': { '.': {}, 'f:a': {}, 'f:b': {} }, 'f:y': {} }
  const under = (x: JsonMap): JsonMap =>
    toFieldsV1(
      reconcileSet(parseFieldsV1(fields), typeOfSchema({ type: 'object', properties: { x, y: text } })),
    )

  test('owns all of what has become atomic', () => {
    expect(under({ type: 'object', 'x-kubernetes-map-type': 'atomic' })).toEqual({ 'f:x': {}, 'f:y': {} })
    expect(under({ type: 'array', items: text })).toEqual({ 'f:x': {}, 'f:y': {} })
  })

  test('stays as it is otherwise', () => {
    expect(under({ type: 'object', properties: { a: text } })).toEqual(fields)
    expect(under({})).toEqual(fields)
  })
})

describe('list items that share a key', () => {
  const type = typeOfSchema({
    type: 'object',
    properties: {
      x: {
        type: 'array',
        items: { type: 'object', properties: { k: text, v: text } },
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['k'],
      },
    },
  })
  const one = { k: 'a', v: '1' }
  const two = { k: 'a', v: '2' }
  const item = 'k:{"k":"a"}'
  const compare = (before: unknown[], after: unknown[]) => {
    const { added, modified, removed } = compareValues(type, { x: before }, { x: after })
    return [added, modified, removed].map(toFieldsV1)
  }
  const whole = { 'f:x': { [item]: {} } }
  const parts = { 'f:x': { [item]: { '.': {}, 'f:k': {}, 'f:v': {} } } }

  test('are one whole', () => {
    expect(toFieldsV1(fieldSetOf(type, { x: [one, two] }))).toEqual(whole)
    expect(compare([one, two], [one, two])).toEqual([{}, {}, {}])
    expect(compare([one, two], [two, one])).toEqual([{}, whole, {}])
  })

  test('become parts again when one is left, and the other way round', () => {
    expect(compare([one, two], [one])).toEqual([parts, {}, whole])
    expect(compare([one], [one, two])).toEqual([whole, {}, parts])
    expect(compare([one, two], [])).toEqual([{}, {}, whole])
  })
})

describe('the wire form', () => {
  test('has its keys in the order of UTF-8, and in one form', () => {
    const sent = {
      'v:true': {},
      'v:"b"': {},
      'v:10': {},
      'v:9.0': {},
      'k:{"b":1,"a":"<"}': {},
      'f:\u{1F600}': {},
      'f:\uFFFD': {},
      'i:3': {},
      'x:later': {},
    }
    expect(Object.keys(toFieldsV1(parseFieldsV1(sent)))).toEqual([
      'f:\uFFFD',
      'f:\u{1F600}',
      'k:{"a":"\\u003c","b":1}',
      'v:9',
      'v:10',
      'v:"b"',
      'v:true',
      'i:3',
    ])
  })

  test.each([['f'], ['name'], ['v:{'], ['k:1'], ['i:x']])('refuses %j', key => {
    expect(() => parseFieldsV1({ [key]: {} })).toThrow(SyntaxError)
  })

  test('escapes as Go does', () => {
    expect(goJson({ b: '<a & b>\b\f\n\\b\u2028', a: [1, null, true] })).toBe(
      '{"a":[1,null,true],"b":"\\u003ca \\u0026 b\\u003e\\u0008\\u000c\\n\\\\b\\u2028"}',
    )
  })
})
