import type { FieldCause } from '../../lib/fault.ts'
import { asList, asMap, keysOf } from './json.ts'
import { itemElement, printElement } from './path-element.ts'
import { fieldType, type ListType, type Type } from './type.ts'

/**
 * Why a manifest cannot be merged: containers of the wrong shape, list items that cannot be told apart. Whether its
 * values are right is for the kind's schema to say, of the merged object.
 */
export function configProblems(type: Type, value: unknown, path = ''): FieldCause[] {
  if (value === null || value === undefined) return []
  const map = asMap(value)
  if (map !== undefined) {
    const mapType = type.map
    if (mapType === undefined) return [{ field: path, message: `expected ${expected(type)}, got a map` }]
    return keysOf(map).flatMap(key =>
      configProblems(fieldType(mapType, key), map[key], path === '' ? key : `${path}.${key}`),
    )
  }
  const list = asList(value)
  if (list !== undefined) {
    if (type.list === undefined) return [{ field: path, message: `expected ${expected(type)}, got a list` }]
    return listProblems(type.list, list, path)
  }
  if (type.scalar === true) return []
  return [{ field: path, message: `expected ${expected(type)}, got ${JSON.stringify(value)}` }]
}

function listProblems(type: ListType, list: readonly unknown[], path: string): FieldCause[] {
  const seen = new Set<string>()
  return list.flatMap((item, index) => {
    const field = `${path}[${index}]`
    const problems = configProblems(type.element, item, field)
    if (type.relationship === 'atomic') return problems
    const element = itemElement(type, item, index)
    if (type.keys.length > 0 && element.startsWith('i:')) {
      return [...problems, { field, message: `an item of this list needs ${type.keys.join(', ')}` }]
    }
    if (type.keys.length === 0 && typeof item === 'object') {
      return [...problems, { field, message: 'an item of a set must be a string, a number or a boolean' }]
    }
    if (seen.has(element)) {
      return [...problems, { field, message: `duplicate entries for key ${printElement(element)}` }]
    }
    seen.add(element)
    return problems
  })
}

function expected(type: Type): string {
  const shapes = [type.map && 'a map', type.list && 'a list', type.scalar && 'a single value']
  return shapes.filter(shape => typeof shape === 'string').join(' or ')
}
