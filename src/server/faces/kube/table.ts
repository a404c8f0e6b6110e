// `Table` answers: what `kubectl get` prints. Columns come from the kind's definition.
import type { Column } from '../../../api/kinds/kind.ts'
import { KINDS } from '../../../api/kinds/registry.ts'
import type { Kind, Resource } from '../../../api/resource.ts'
import type { Millis } from '../../../lib/clock.ts'
import { formatAge } from './age.ts'

/** What each row carries of its object besides the cells. */
export type IncludeObject = 'Metadata' | 'Object' | 'None'

const NAME = { name: 'Name', type: 'string', format: 'name', description: 'Name of the object.', priority: 0 }

export function columnDefinitions(kind: Kind): object[] {
  const own = KINDS[kind].columns.map(column => ({
    name: column.name,
    type: column.type,
    format: '',
    description: column.description,
    priority: column.wide === true ? 1 : 0,
  }))
  return [NAME, ...own]
}

export function tableRow(object: Resource, include: IncludeObject, version: string, nowMs: Millis): object {
  const cells = KINDS[object.kind].columns.map(column => cellOf(object, column, nowMs))
  const row = { cells: [object.metadata.name, ...cells] }
  if (include === 'None') return { ...row, object: null }
  return { ...row, object: include === 'Object' ? object : partialMetadata(object, version) }
}

/** `metadata` alone, for tables and for clients that follow nothing else. */
export function partialMetadata(object: Resource, version: string): object {
  return { kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${version}`, metadata: object.metadata }
}

function cellOf(object: Resource, { path, type }: Column, nowMs: Millis): string | number | null {
  const value = valueAt(object, path)
  if (value === undefined || value === null) return type === 'integer' ? null : ''
  if (type === 'integer') return Number(value)
  if (type === 'string') return typeof value === 'string' ? value : JSON.stringify(value)
  const thenMs = Date.parse(String(value))
  return Number.isNaN(thenMs) ? '<unknown>' : formatAge(nowMs - thenMs)
}

// `.a.b`, `.a[?(@.key=="value")].b`: as much of JSONPath as columns need.
const STEP = /\.([A-Za-z0-9_-]+)|\[\?\(@\.([A-Za-z0-9_-]+)=="([^"]*)"\)\]/g

/** The value that a column's path leads to in an object, or undefined. */
export function valueAt(object: unknown, path: string): unknown {
  let value = object
  for (const [, field, key, wanted] of path.matchAll(STEP)) {
    if (value === null || typeof value !== 'object') return undefined
    if (field !== undefined) value = (value as Record<string, unknown>)[field]
    else
      value = Array.isArray(value)
        ? value.find(each => each !== null && typeof each === 'object' && each[key!] === wanted)
        : undefined
  }
  return value
}
