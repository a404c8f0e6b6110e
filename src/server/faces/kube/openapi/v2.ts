// OpenAPI v2, one document for everything: what kubectl up to 1.28 validates with, and what some tools take their
// types from. The same content as v3, in the older words.
import { GROUP_VERSIONS } from '../discovery.ts'
import { type JsonSchema, rootOf } from '../served.ts'
import type { Parameter } from './parameters.ts'
import { METHODS, type Operation, type PathItem, pathsOf } from './paths.ts'
import { componentsOf } from './schemas.ts'

export interface Document {
  readonly swagger: '2.0'
  readonly info: { readonly title: string; readonly version: string }
  readonly paths: Readonly<Record<string, JsonSchema>>
  readonly definitions: Readonly<Record<string, JsonSchema>>
}

export function document(version: string): Document {
  const roots = GROUP_VERSIONS.map(rootOf)
  return {
    swagger: '2.0',
    info: { title: 'Bothy', version },
    paths: mapValues(pathsOf(roots), pathItem),
    definitions: mapValues(componentsOf(roots), schemaOf),
  }
}

function pathItem(item: PathItem): JsonSchema {
  const operations = METHODS.flatMap(method => {
    const operation = item[method]
    return operation === undefined ? [] : [[method, operationOf(operation)] as const]
  })
  const parameters = item.parameters === undefined ? {} : { parameters: item.parameters.map(parameterOf) }
  return { ...Object.fromEntries(operations), ...parameters }
}

function operationOf({ parameters = [], requestBody, responses, ...rest }: Operation): JsonSchema {
  const consumed = Object.entries(requestBody?.content ?? {})
  const body = consumed.slice(0, 1).map(([, { schema }]) => ({
    name: 'body',
    in: 'body',
    ...(requestBody?.required === true ? { required: true } : {}),
    schema: schemaOf(schema),
  }))
  return {
    ...rest,
    consumes: consumed.length === 0 ? ['*/*'] : consumed.map(([type]) => type),
    produces: ['application/json'],
    parameters: [...body, ...parameters.map(parameterOf)],
    responses: mapValues(responses, ({ description, content }) => ({
      description,
      schema: schemaOf(content['application/json']!.schema),
    })),
  }
}

function parameterOf({ schema, ...rest }: Parameter): JsonSchema {
  return { ...rest, ...schema }
}

/** References are called otherwise, and stand beside descriptions. */
function schemaOf(schema: JsonSchema): JsonSchema {
  const { $ref, allOf, properties, items, additionalProperties, nullable: _, ...rest } = schema
  if (typeof $ref === 'string') return { $ref: $ref.replace('#/components/schemas/', '#/definitions/') }
  if (Array.isArray(allOf)) return { ...rest, ...schemaOf(allOf[0] as JsonSchema) }
  return {
    ...rest,
    ...(properties === undefined
      ? {}
      : { properties: mapValues(properties as Record<string, JsonSchema>, schemaOf) }),
    ...(items === undefined ? {} : { items: schemaOf(items as JsonSchema) }),
    ...(typeof additionalProperties === 'object'
      ? { additionalProperties: schemaOf(additionalProperties as JsonSchema) }
      : {}),
  }
}

function mapValues<V, W>(values: Readonly<Record<string, V>>, change: (value: V) => W): Record<string, W> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, change(value)]))
}
