// `Table` answers: what `kubectl get` prints. Columns come from the kind's definition.
import type { Column } from '../../../api/kinds/kind.ts'
import type { Resource } from '../../../api/resource.ts'
import type { Millis } from '../../../lib/clock.ts'
import { formatAge } from './age.ts'
import { type Served, toWire } from './served.ts'

/** What each row carries of its object besides the cells. */
export type IncludeObject = 'Metadata' | 'Object' | 'None'

const NAME = { name: 'Name', type: 'string', format: 'name', description: 'Name of the object.', priority: 0 }

export function columnDefinitions({ columns, nameless }: Served): object[] {
  const own = columns.map(column => ({
    name: column.name,
    type: column.type === 'reference' ? 'string' : column.type,
    format: '',
    description: column.description,
    priority: column.wide === true ? 1 : 0,
  }))
  return nameless ? own : [NAME, ...own]
}

export function tableRow(
  served: Served,
  object: Resource,
  include: IncludeObject,
  version: string,
  nowMs: Millis,
): object {
  const own = served.columns.map(column => cellOf(object, column, nowMs))
  const cells = served.nameless ? own : [object.metadata.name, ...own]
  if (include === 'None') return { cells, object: null }
  return { cells, object: include === 'Object' ? toWire(served, object) : partialMetadata(object, version) }
}

/** `metadata` alone, for tables and for clients that follow nothing else. */
export function partialMetadata(object: Resource, version: string): object {
  return { kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${version}`, metadata: object.metadata }
}

function cellOf(object: Resource, { path, type }: Column, nowMs: Millis): string | number | null {
  const value = valueAt(object, path)
  if (value === undefined || value === null) return type === 'integer' ? null : ''
  if (type === 'integer') return Number(value)
  if (type === 'reference') {
    const { kind = '', name = '' } = value as { kind?: string; name?: string }
    return `${kind.toLowerCase()}/${name}`
  }
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
