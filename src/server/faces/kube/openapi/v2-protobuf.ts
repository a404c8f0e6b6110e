// OpenAPI v2 as protobuf: the only form that kubectl up to 1.28 takes. Field numbers are those of `openapi.v2`, the
// messages that gnostic publishes (OpenAPIv2.proto); maps are lists of pairs there, and `x-…` are YAML, as JSON is.
import { type Bytes, bool, double, join, message, string, strings, uint } from '../protobuf/writer.ts'
import type { JsonSchema } from '../served.ts'
import type { Document } from './v2.ts'

export function encodeDocument({ swagger, info, paths, definitions }: Document): Bytes {
  return join(
    string(1, swagger),
    message(2, join(string(1, info.title), string(2, info.version))),
    message(8, pairs(2, paths, pathItem)),
    message(9, pairs(1, definitions, schema)),
  )
}

function pathItem(item: JsonSchema): Bytes {
  const at = (field: number, name: string) => message(field, optional(item[name], operation))
  return join(
    at(2, 'get'),
    at(3, 'put'),
    at(4, 'post'),
    at(5, 'delete'),
    at(8, 'patch'),
    each(9, item['parameters'], parameter),
  )
}

function operation(given: JsonSchema): Bytes {
  return join(
    strings(1, given['tags']),
    string(3, given['description']),
    string(5, given['operationId']),
    strings(6, given['produces']),
    strings(7, given['consumes']),
    each(8, given['parameters'], parameter),
    message(9, pairs(1, given['responses'] as JsonSchema, response)),
    extensions(13, given),
  )
}

/** ParametersItem { Parameter { BodyParameter or NonBodyParameter } }. */
function parameter(given: JsonSchema): Bytes {
  if (given['in'] !== 'body') return message(1, message(2, plainParameter(given)))
  const body = join(
    string(2, given['name']),
    string(3, given['in']),
    bool(4, given['required']),
    message(5, optional(given['schema'], schema)),
  )
  return message(1, message(1, body))
}

/** Those in the query may be empty, and say so with a field more. */
function plainParameter(given: JsonSchema): Bytes {
  const inQuery = given['in'] === 'query'
  const head = [
    bool(1, given['required']),
    string(2, given['in']),
    string(3, given['description']),
    string(4, given['name']),
  ]
  return message(inQuery ? 3 : 4, join(...head, string(inQuery ? 6 : 5, given['type'])))
}

/** ResponseValue { Response { SchemaItem } }. */
function response(given: JsonSchema): Bytes {
  const item = message(1, optional(given['schema'], schema))
  return message(1, join(string(1, given['description']), message(2, item)))
}

function schema(given: JsonSchema): Bytes {
  const { type, items, additionalProperties } = given
  return join(
    string(1, given['$ref']),
    string(2, given['format']),
    string(4, given['description']),
    message(5, given['default'] === undefined ? undefined : any(given['default'])),
    double(7, given['maximum']),
    bool(8, given['exclusiveMaximum']),
    double(9, given['minimum']),
    bool(10, given['exclusiveMinimum']),
    uint(11, given['maxLength']),
    uint(12, given['minLength']),
    string(13, given['pattern']),
    uint(14, given['maxItems']),
    uint(15, given['minItems']),
    strings(19, given['required']),
    ...((given['enum'] as readonly unknown[] | undefined) ?? []).map(value => message(20, any(value))),
    message(
      21,
      optional(additionalProperties, inner => message(1, schema(inner))),
    ),
    message(22, type === undefined ? undefined : strings(1, [type])),
    message(
      23,
      optional(items, inner => message(1, schema(inner))),
    ),
    message(
      25,
      optional(given['properties'], inner => pairs(1, inner, schema)),
    ),
    extensions(31, given),
  )
}

/** `x-…`, each as NamedAny { name, Any }. */
function extensions(field: number, given: JsonSchema): Bytes {
  const named = Object.entries(given).filter(([name]) => name.startsWith('x-'))
  return join(...named.map(([name, value]) => message(field, join(string(1, name), message(2, any(value))))))
}

/** Any { yaml }. */
function any(value: unknown): Bytes {
  return string(2, JSON.stringify(value))
}

function pairs(field: number, values: JsonSchema, encode: (value: JsonSchema) => Bytes): Bytes {
  const entries = Object.entries(values) as [string, JsonSchema][]
  return join(
    ...entries.map(([name, value]) => message(field, join(string(1, name), message(2, encode(value))))),
  )
}

function each(field: number, values: unknown, encode: (value: JsonSchema) => Bytes): Bytes {
  return join(
    ...((values as readonly JsonSchema[] | undefined) ?? []).map(value => message(field, encode(value))),
  )
}

function optional(value: unknown, encode: (value: JsonSchema) => Bytes): Bytes | undefined {
  return value === undefined ? undefined : encode(value as JsonSchema)
}
