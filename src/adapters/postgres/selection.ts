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

/** Conditions on `resource r`, numbering parameters from `$1`; `where` is never empty. */
export function selectionSql(kind: Kind, options: ListOptions): { where: string; values: unknown[] } {
  checkSelection(kind, options)
  const values: unknown[] = [kind]
  const conditions = ['r.kind = $1']
  const add = (condition: (n: number) => string, value: unknown) =>
    conditions.push(condition(values.push(value)))
  if (options.namespace !== undefined) add(n => `r.namespace = $${n}`, options.namespace)
  for (const [field, wanted] of Object.entries(options.fields ?? {})) {
    const path = values.push(field.split('.'))
    // As in Kubernetes, an absent field equals ''.
    add(n => `coalesce(r.body #>> $${path}::text[], '') = $${n}`, wanted)
  }
  if (Object.keys(options.labels ?? {}).length > 0) {
    add(n => `r.body -> 'metadata' -> 'labels' @> $${n}::jsonb`, JSON.stringify(options.labels))
  }
  return { where: conditions.join(' AND '), values }
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
