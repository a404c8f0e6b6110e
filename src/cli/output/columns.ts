// A kind's printer columns, read from an object.

import type { Column } from '../../api/kinds/kind.ts'
import { KINDS } from '../../api/kinds/registry.ts'
import type { Resource } from '../../api/resource.ts'
import type { Millis } from '../../lib/clock.ts'
import { formatAge } from './duration.ts'
import type { Style } from './style.ts'
import { type Cell, formatTable } from './table.ts'

const STEP = /\.([A-Za-z0-9_]+)|\[\?\(@\.([A-Za-z0-9_]+)==["']([^"']*)["']\)\]/g

/** What stands at a JSONPath of the two forms that columns use: `.a.b` and `.a[?(@.type=="X")].b`. */
export function readPath(object: unknown, path: string): unknown {
  let value: unknown = object
  for (const [, field, filterField, filterValue] of path.matchAll(STEP)) {
    if (field !== undefined) value = property(value, field)
    else if (Array.isArray(value)) value = value.find(each => property(each, filterField!) === filterValue)
    else return undefined
  }
  return value
}

function property(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined
}

export interface ResourceTableOptions {
  readonly now: Millis
  readonly wide: boolean
  readonly withNamespace: boolean
  readonly style: Style
  readonly widths?: number[]
}

/** The table of objects of one kind, as `kubectl get` draws it. */
export function formatResources(
  kind: keyof typeof KINDS,
  objects: readonly Resource[],
  options: ResourceTableOptions,
): string {
  const columns = KINDS[kind].columns.filter(column => options.wide || column.wide !== true)
  const headers = [
    ...(options.withNamespace ? ['namespace'] : []),
    ...(KINDS[kind].nameless === true ? [] : ['name']),
    ...columns.map(column => column.name),
  ]
  const rows = objects.map(object => [
    ...(options.withNamespace ? [object.metadata.namespace ?? ''] : []),
    ...(KINDS[kind].nameless === true ? [] : [object.metadata.name]),
    ...columns.map(column => columnCell(column, object, options)),
  ])
  return formatTable(headers, rows, options.widths)
}

function columnCell(column: Column, object: Resource, { now, style }: ResourceTableOptions): Cell {
  const value = readPath(object, column.path)
  if (value === undefined || value === null || value === '') return { text: '<none>', paint: style.dim }
  if (column.type === 'date') return { text: formatAge(now - Date.parse(String(value))) }
  const text =
    column.type === 'reference'
      ? `${String(property(value, 'kind')).toLowerCase()}/${String(property(value, 'name'))}`
      : String(value)
  const paint = column.name === 'Phase' || column.name === 'Ready' ? verdictPaint(text, style) : undefined
  return paint === undefined ? { text } : { text, paint }
}

/** Green for what is well, red for what failed, yellow for what is under way. */
export function verdictPaint(word: string, style: Style): ((text: string) => string) | undefined {
  if (word === 'Running' || word === 'True') return style.green
  if (word === 'Failed' || word === 'False') return style.red
  return word === 'Stopped' ? undefined : style.yellow
}
