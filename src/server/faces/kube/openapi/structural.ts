// JSON schemas as clients of Kubernetes read them: a few words of the language, and no more.
import type { JsonSchema } from '../served.ts'

type Building = Record<string, unknown>

/**
 * The same schema without what such clients misread or have no word for: `additionalProperties: false` beside declared
 * properties (unknown fields are refused without it), the bounds that every number in JSON has anyway, and unions, which
 * become free-form. Integers get the format that typed clients choose their type by.
 */
export function structural(schema: JsonSchema): JsonSchema {
  const { properties, items, additionalProperties, anyOf, oneOf, propertyNames: _, ...rest } = schema
  const made: Building = { ...rest }
  if (schema['type'] === 'integer') {
    made['format'] ??= 'int64'
    if (made['minimum'] === Number.MIN_SAFE_INTEGER) delete made['minimum']
    if (made['maximum'] === Number.MAX_SAFE_INTEGER) delete made['maximum']
  }
  if (isSchema(properties)) made['properties'] = structuralEach(properties)
  else if (additionalProperties !== undefined)
    made['additionalProperties'] = isSchema(additionalProperties) ? structural(additionalProperties) : true
  if (isSchema(items)) made['items'] = structural(items)
  if (anyOf !== undefined || oneOf !== undefined) made['x-kubernetes-preserve-unknown-fields'] = true
  return made
}

export function structuralEach(schemas: JsonSchema): JsonSchema {
  return Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [name, structural(schema as JsonSchema)]),
  )
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
