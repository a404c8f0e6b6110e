// Which objects a list or watch is about, as SQL for the tables and as a predicate for the feed. Both mean the same.
import { valueAt } from '../../api/json-equal.ts'
import { KINDS } from '../../api/kinds/registry.ts'
import type { Kind, Resource } from '../../api/resource.ts'
import type { ListOptions } from '../../core/store.ts'
import { Fault } from '../../lib/fault.ts'

const ALWAYS_SELECTABLE = ['metadata.name', 'metadata.namespace']

/** Faults with `malformed` when a field is not selectable for the kind. */
export function checkSelection(kind: Kind, options: ListOptions): void {
  const selectable = [...ALWAYS_SELECTABLE, ...KINDS[kind].selectable]
  const wrong = Object.keys(options.fields ?? {}).find(field => !selectable.includes(field))
  if (wrong === undefined) return
  const message = `select ${KINDS[kind].plural} by '${wrong}': not a selectable field`
  throw new Fault('malformed', 'field-not-selectable', message, {
    hint: `selectable are ${selectable.join(', ')}`,
  })
}

/** Fields that have a column of their own in `resource`, and how to get the same from a body. */
export const COLUMNS = [
  {
    field: 'spec.runner',
    name: 'runner',
    sql: (body: string) => `coalesce(${body} #>> '{spec,runner}', '')`,
  },
] as const

/** Numbers the parameters of a statement. */
export class Parameters {
  readonly values: unknown[] = []

  /** `$1`, `$2`, … */
  add(value: unknown): string {
    return `$${this.values.push(value)}`
  }
}

/** Conditions on `resource r`, or on what has its columns; never empty. */
export function selectionSql(kind: Kind, options: ListOptions, parameters: Parameters): string {
  checkSelection(kind, options)
  const conditions = [`r.kind = ${parameters.add(kind)}`]
  if (options.namespace !== undefined) conditions.push(`r.namespace = ${parameters.add(options.namespace)}`)
  for (const [field, wanted] of Object.entries(options.fields ?? {}))
    conditions.push(...fieldSql(field, parameters.add(wanted), wanted, parameters))
  if (Object.keys(options.labels ?? {}).length > 0)
    conditions.push(
      `r.body -> 'metadata' -> 'labels' @> ${parameters.add(JSON.stringify(options.labels))}::jsonb`,
    )
  return conditions.join(' AND ')
}

function fieldSql(field: string, value: string, wanted: string, parameters: Parameters): string[] {
  if (field === 'metadata.name') return [`r.name = ${value}`]
  if (field === 'metadata.namespace') return [`r.namespace = ${value}`]
  const column = COLUMNS.find(each => each.field === field)
  // The second condition is what the index asks for; a parameter alone does not tell the planner.
  if (column !== undefined)
    return [`r.${column.name} = ${value}`, ...(wanted === '' ? [] : [`r.${column.name} <> ''`])]
  // As in Kubernetes, an absent field equals ''.
  return [`coalesce(r.body #>> ${parameters.add(field.split('.'))}::text[], '') = ${value}`]
}

/** Whether labels and fields select `object`. Namespace and kind are compared by the feed, on columns. */
export function isSelected(object: Resource, options: ListOptions): boolean {
  const labels = object.metadata.labels ?? {}
  return (
    Object.entries(options.labels ?? {}).every(
      ([key, wanted]) => Object.hasOwn(labels, key) && labels[key] === wanted,
    ) && Object.entries(options.fields ?? {}).every(([path, wanted]) => fieldText(object, path) === wanted)
  )
}

/** The value of a field as `#>>` writes it; an absent one is ''. */
export function fieldText(object: Resource, path: string): string {
  const value = valueAt(object, path)
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}
