import { describe, expect, test } from 'vitest'
import type { Json } from '../../../../../test/support/server.ts'
import { GROUP_VERSIONS } from '../discovery.ts'
import { readFields } from '../protobuf/reader.ts'
import { SERVED } from '../served.ts'
import { componentName } from './schemas.ts'
import { structural } from './structural.ts'
import { document } from './v2.ts'
import { encodeDocument } from './v2-protobuf.ts'
import { groupDocument } from './v3.ts'

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1'
const v2 = document('1') as Json
const v3 = (group: string, version: string): Json => JSON.parse(groupDocument({ group, version }).text)
const own = v3('bothy.dev', 'v1alpha1')
const refsOf = (value: unknown, prefix: string) =>
  [...JSON.stringify(value).matchAll(/"\$ref":"([^"]+)"/g)].map(match => match[1]!.replace(prefix, ''))

describe('OpenAPI v3', () => {
  test.each(GROUP_VERSIONS)(
    '$group/$version refers to nothing that it does not hold',
    ({ group, version }) => {
      const { components, paths } = v3(group, version)
      const refs = refsOf([components, paths], '#/components/schemas/')
      expect(refs.length).toBeGreaterThan(10)
      for (const ref of refs) expect(components.schemas).toHaveProperty([ref])
    },
  )

  test.each(SERVED)('$apiVersion $kind can be validated, patched and explained', served => {
    const { group, version, kind, plural, namespaced, hasStatus, verbs } = served
    const { components, paths } = v3(group, version)
    expect(components.schemas[componentName(served)]['x-kubernetes-group-version-kind']).toEqual([
      { group, version, kind },
    ])
    const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`
    const collection = namespaced ? `${root}/namespaces/{namespace}/${plural}` : `${root}/${plural}`
    for (const path of [`${collection}/{name}`, ...(hasStatus ? [`${collection}/{name}/status`] : [])]) {
      const { patch } = paths[path]
      expect(patch['x-kubernetes-group-version-kind']).toEqual({ group, version, kind })
      expect(patch.parameters.map((each: Json) => each.name)).toEqual([
        'dryRun',
        'fieldManager',
        'fieldValidation',
        'force',
      ])
      expect(Object.keys(patch.requestBody.content)).toContain('application/apply-patch+yaml')
    }
    const actions = [paths[collection], paths[`${collection}/{name}`]].flatMap((item: Json) =>
      Object.values(item).map((each: Json) => each['x-kubernetes-action'] as string | undefined),
    )
    const read = verbs.filter(verb => !['watch', 'create', 'update'].includes(verb))
    expect(new Set(actions.filter(Boolean))).toEqual(new Set([...read, 'post', 'put']))
    if (namespaced) expect(paths[`${root}/${plural}`].get['x-kubernetes-action']).toBe('list')
  })

  test('lists say how they are merged', () => {
    const { conditions, stages } =
      own.components.schemas['dev.bothy.v1alpha1.Environment'].properties.status.properties
    expect(conditions).toMatchObject({
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
    })
    expect(conditions.items.required).toContain('type')
    expect(stages['x-kubernetes-list-type']).toBeUndefined()
    const meta = own.components.schemas[`${META}.ObjectMeta`].properties
    expect(meta.finalizers['x-kubernetes-list-type']).toBe('set')
    expect(meta.ownerReferences['x-kubernetes-list-map-keys']).toEqual(['uid'])
    expect(meta.managedFields['x-kubernetes-list-type']).toBe('atomic')
  })

  test('operations have names of their own', () => {
    const ids = GROUP_VERSIONS.flatMap(({ group, version }) =>
      Object.values(v3(group, version).paths as Record<string, Json>).flatMap(item =>
        Object.values(item).flatMap((each: Json) => each.operationId ?? []),
      ),
    )
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids).toContain('readBothyDevV1alpha1NamespacedEnvironmentStatus')
    expect(ids).toContain('listCoreV1EventForAllNamespaces')
  })
})

describe('OpenAPI v2', () => {
  test('has what clients look for by name, and refers to nothing else', () => {
    expect(v2.definitions[`${META}.ObjectMeta`].properties.name.type).toBe('string')
    const refs = refsOf(v2, '#/definitions/')
    for (const ref of refs) expect(v2.definitions).toHaveProperty([ref])
    expect(JSON.stringify(v2)).not.toMatch(/anyOf|allOf|components\/schemas|requestBody/)
  })

  test('takes unknown fields where there may be some, and only there', () => {
    const { spec } = v2.definitions['dev.bothy.v1alpha1.Environment'].properties
    expect(spec.properties.env.additionalProperties).toMatchObject({ type: 'string' })
    expect(spec.properties.content.properties.empty.properties).toEqual({})
    expect(spec.additionalProperties).toBeUndefined()
  })

  test('says the same in protobuf', () => {
    const parts = fields(encodeDocument(v2))
    expect(textOf(parts, 1)).toBe('2.0')
    const definitions = Object.fromEntries(
      pairs(parts.get(9)![0]!, 1).map(([name, schema]) => [name, schemaOf(schema)]),
    )
    expect(definitions).toEqual(
      Object.fromEntries(Object.entries(v2.definitions).map(([k, s]) => [k, known(s)])),
    )
    const paths = Object.fromEntries(pairs(parts.get(8)![0]!, 2))
    expect(Object.keys(paths)).toEqual(Object.keys(v2.paths))
    const object = '/apis/bothy.dev/v1alpha1/namespaces/{namespace}/environments/{name}'
    const patch = fields(fields(paths[object]!).get(8)![0]!)
    const [gvk] = patch
      .get(13)!
      .map(each => fields(each))
      .filter(each => textOf(each, 1)?.endsWith('version-kind'))
    expect(JSON.parse(textOf(fields(gvk!.get(2)![0]!), 2)!)).toEqual({
      group: 'bothy.dev',
      version: 'v1alpha1',
      kind: 'Environment',
    })
    // ParametersItem, Parameter, NonBodyParameter, and what stands in the query; its name.
    const query = patch.get(8)!.flatMap(each => {
      const plain = fields(fields(each).get(1)![0]!).get(2)?.[0]
      return plain === undefined ? [] : [textOf(fields(fields(plain).get(3)![0]!), 4)]
    })
    expect(query).toEqual(['dryRun', 'fieldManager', 'fieldValidation', 'force'])
  })
})

test('structural schemas leave out what clients misread', () => {
  const given = {
    type: 'object',
    properties: {
      count: { type: 'integer', minimum: Number.MIN_SAFE_INTEGER, maximum: 7 },
      either: { anyOf: [{ type: 'string' }, { type: 'integer' }], description: 'x' },
      list: { type: 'array', items: { type: 'object', properties: {}, additionalProperties: false } },
      open: { type: 'object', additionalProperties: {} },
    },
    additionalProperties: false,
  }
  expect(structural(given)).toEqual({
    type: 'object',
    properties: {
      count: { type: 'integer', format: 'int64', maximum: 7 },
      either: { description: 'x', 'x-kubernetes-preserve-unknown-fields': true },
      list: { type: 'array', items: { type: 'object', properties: {} } },
      open: { type: 'object', additionalProperties: {} },
    },
  })
})

type Fields = Map<number, Buffer[]>

/** The length-delimited ones: all that is looked at here. */
function fields(bytes: Buffer): Fields {
  const found: Fields = new Map()
  for (const wire of readFields(bytes))
    if (wire.wire === 'bytes') found.set(wire.number, [...(found.get(wire.number) ?? []), wire.value])
  return found
}

function textOf(parts: Fields, field: number): string | undefined {
  return parts.get(field)?.[0]?.toString('utf8')
}

function pairs(bytes: Buffer, field: number): [string, Buffer][] {
  return (fields(bytes).get(field) ?? []).map(each => {
    const pair = fields(each)
    return [textOf(pair, 1)!, pair.get(2)![0]!]
  })
}

/** What `known` keeps of a schema, read back. */
function schemaOf(bytes: Buffer): Json {
  const parts = fields(bytes)
  const inner = (field: number) => parts.get(field)?.map(each => schemaOf(fields(each).get(1)![0]!))[0]
  const properties = parts.get(25)?.[0]
  return {
    $ref: textOf(parts, 1),
    format: textOf(parts, 2),
    description: textOf(parts, 4),
    pattern: textOf(parts, 13),
    required: parts.get(19)?.map(String),
    enum: parts.get(20)?.map(each => JSON.parse(textOf(fields(each), 2)!)),
    additionalProperties: inner(21),
    type: parts.has(22) ? textOf(fields(parts.get(22)![0]!), 1) : undefined,
    items: inner(23),
    properties:
      properties &&
      Object.fromEntries(pairs(properties, 1).map(([name, schema]) => [name, schemaOf(schema)])),
    extensions: parts.get(31)?.map(each => textOf(fields(each), 1)),
  }
}

function known(schema: Json): Json {
  const { $ref, format, description, pattern, required, type, items, properties, additionalProperties } =
    schema
  const extensions = Object.keys(schema).filter(key => key.startsWith('x-'))
  return {
    $ref,
    format,
    description,
    pattern,
    required,
    enum: schema.enum,
    additionalProperties: additionalProperties && known(additionalProperties),
    type,
    items: items && known(items),
    properties:
      properties && Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, known(each)])),
    extensions: extensions.length === 0 ? undefined : extensions,
  }
}
