import { asList, asMap, type JsonMap, own } from './json.ts'
import { ATOMIC, DEDUCED, type ListType, type MapType, SCALAR, type Type } from './type.ts'

/** Finds the schema that a `$ref` names; undefined when there is none, and the type is then left open. */
export type ResolveRef = (ref: string) => JsonMap | undefined

type Building = { -readonly [Key in keyof Type]: Type[Key] }

/**
 * The type that a JSON schema or an OpenAPI 3 schema node describes, with the `x-kubernetes-*` extensions that say
 * what is owned as a whole. What the schema leaves open is decided by the value, and so are fields that it does not
 * declare, with `x-kubernetes-preserve-unknown-fields` or without: to refuse them is for validation.
 */
export function typeOfSchema(schema: unknown, resolve: ResolveRef = () => undefined): Type {
  return new SchemaReader(resolve).read(schema)
}

class SchemaReader {
  readonly #resolve: ResolveRef
  /** By `$ref`, so that a schema that contains itself comes to an end. */
  readonly #named = new Map<string, Type>()

  constructor(resolve: ResolveRef) {
    this.#resolve = resolve
  }

  read(node: unknown): Type {
    const schema = asMap(node)
    if (schema === undefined) return DEDUCED
    const ref = own(schema, '$ref')
    if (typeof ref === 'string') return withMapType(this.#referred(ref), schema)
    const sole = soleVariant(schema)
    if (sole !== undefined) return withMapType(this.read(sole), schema)
    return this.#inline(schema)
  }

  #referred(ref: string): Type {
    const known = this.#named.get(ref)
    if (known !== undefined) return known
    const schema = this.#resolve(ref)
    if (schema === undefined) return DEDUCED
    const type: Building = {}
    this.#named.set(ref, type)
    return Object.assign(type, this.read(schema))
  }

  #inline(schema: JsonMap): Type {
    if (own(schema, 'x-kubernetes-int-or-string') === true) return SCALAR
    const named = own(schema, 'type')
    const types = (asList(named) ?? (named === undefined ? [] : [named])).filter(each => each !== 'null')
    if (types.length !== 1)
      return own(schema, 'x-kubernetes-map-type') === 'atomic' ? ATOMIC : openType(schema)
    if (types[0] === 'object') return { map: this.#map(schema) }
    if (types[0] === 'array') return { list: this.#list(schema) }
    return SCALAR
  }

  #map(schema: JsonMap): MapType {
    const fields = new Map<string, Type>()
    const defaults = new Map<string, unknown>()
    for (const [name, field] of Object.entries(asMap(own(schema, 'properties')) ?? {})) {
      fields.set(name, this.read(field))
      const fallback = own(asMap(field), 'default')
      if (fallback !== undefined) defaults.set(name, fallback)
    }
    const others = asMap(own(schema, 'additionalProperties'))
    return {
      relationship: own(schema, 'x-kubernetes-map-type') === 'atomic' ? 'atomic' : 'granular',
      fields,
      defaults,
      element: others === undefined ? DEDUCED : this.read(others),
    }
  }

  #list(schema: JsonMap): ListType {
    const items = own(schema, 'items')
    const element = items === undefined ? ATOMIC : this.read(items)
    const kind = own(schema, 'x-kubernetes-list-type')
    if (kind === 'set') return { relationship: 'associative', keys: [], element }
    const keys = asList(own(schema, 'x-kubernetes-list-map-keys')) ?? []
    const names = keys.filter(key => typeof key === 'string').sort()
    // A map list without keys cannot tell its items apart; owning it as a whole is the safe reading.
    if (kind === 'map' && names.length > 0) return { relationship: 'associative', keys: names, element }
    return { relationship: 'atomic', keys: [], element }
  }
}

// No single type is named: a oneOf, or nothing at all. A map-type extension still says what the author wants.
function openType(schema: JsonMap): Type {
  const kind = own(schema, 'x-kubernetes-list-type')
  return kind === 'set'
    ? { ...DEDUCED, list: { relationship: 'associative', keys: [], element: SCALAR } }
    : DEDUCED
}

/** The one schema that an allOf, anyOf or oneOf leaves, `{type: 'null'}` not counted. */
function soleVariant(schema: JsonMap): unknown {
  for (const key of ['allOf', 'anyOf', 'oneOf']) {
    const variants = asList(own(schema, key))?.filter(each => own(asMap(each), 'type') !== 'null')
    if (variants?.length === 1 && own(schema, 'type') === undefined) return variants[0]
  }
  return undefined
}

/** A reference may say itself how the map behind it is owned. */
function withMapType(type: Type, schema: JsonMap): Type {
  const kind = own(schema, 'x-kubernetes-map-type')
  if (type.map === undefined || (kind !== 'atomic' && kind !== 'granular')) return type
  return { ...type, map: { ...type.map, relationship: kind } }
}
