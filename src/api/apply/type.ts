// The shape of a type, as far as field ownership needs it: what is owned as a whole and what is owned part by part.

/** A list: owned as a whole, or item by item. Items of an associative list are told apart by `keys`, or by value. */
export interface ListType {
  readonly relationship: 'atomic' | 'associative'
  /** Sorted; empty for a set of scalars. */
  readonly keys: readonly string[]
  readonly element: Type
}

/** A struct or a map: owned as a whole, or field by field. */
export interface MapType {
  readonly relationship: 'atomic' | 'granular'
  /** The declared fields. */
  readonly fields: ReadonlyMap<string, Type>
  /** Defaults of declared fields; they tell list items apart that leave a key out. */
  readonly defaults: ReadonlyMap<string, unknown>
  /** Of all other fields. */
  readonly element: Type
}

/** What a value may be; more than one of the three where the schema leaves it open, then the value decides. */
export interface Type {
  readonly scalar?: boolean
  readonly list?: ListType
  readonly map?: MapType
}

export type Shape = 'map' | 'scalar' | 'list'

const NO_FIELDS: MapType['fields'] = new Map()
const NO_DEFAULTS: MapType['defaults'] = new Map()

export const SCALAR: Type = { scalar: true }

/** Anything, owned as a whole. */
export const ATOMIC: Type = selfContained('atomic')
/** Anything: maps are owned key by key, lists as a whole. What a schema does not describe is of this type. */
export const DEDUCED: Type = selfContained('granular')

function selfContained(relationship: 'atomic' | 'granular'): Type {
  const type: { scalar: boolean; list?: ListType; map?: MapType } = { scalar: true }
  type.list = { relationship: 'atomic', keys: [], element: relationship === 'atomic' ? type : ATOMIC }
  type.map = { relationship, fields: NO_FIELDS, defaults: NO_DEFAULTS, element: type }
  return type
}

export function structType(
  fields: Readonly<Record<string, Type>>,
  relationship: 'atomic' | 'granular' = 'granular',
): Type {
  return {
    map: {
      relationship,
      fields: new Map(Object.entries(fields)),
      defaults: NO_DEFAULTS,
      element: DEDUCED,
    },
  }
}

export function mapOf(element: Type): Type {
  return { map: { relationship: 'granular', fields: NO_FIELDS, defaults: NO_DEFAULTS, element } }
}

/** A list whose items are told apart by these fields. */
export function keyedListOf(element: Type, keys: readonly string[]): Type {
  return { list: { relationship: 'associative', keys: [...keys].sort(), element } }
}

export function setOfScalars(): Type {
  return { list: { relationship: 'associative', keys: [], element: SCALAR } }
}

/** The type of one field. */
export function fieldType(map: MapType, name: string): Type {
  return map.fields.get(name) ?? map.element
}

/**
 * As which of the possible shapes a value is treated. null fits every shape and takes the first that the type has; so
 * does a value of a shape that the type has not, which is for validation to refuse.
 */
export function shapeOf(type: Type, value: unknown): Shape {
  if (Array.isArray(value)) {
    if (type.list !== undefined) return 'list'
  } else if (typeof value === 'object') {
    if (value !== null && type.map !== undefined) return 'map'
  } else if (value !== undefined && type.scalar === true) {
    return 'scalar'
  }
  return firstShape(type)
}

export function firstShape(type: Type): Shape {
  if (type.map !== undefined) return 'map'
  return type.scalar === true || type.list === undefined ? 'scalar' : 'list'
}
