import { namesOf } from '../../api/kinds/kind-names.ts'
import { WIRE_FORMS } from '../../api/kinds/wire-forms.ts'
import type { Kind, Resource } from '../../api/resource.ts'
import type { Deps } from '../deps.ts'
import { escapeControls, escapeJson } from './text.ts'

export const FORMATS = ['table', 'wide', 'json', 'yaml', 'name'] as const
export type Format = (typeof FORMATS)[number]

export type Printing = Pick<Deps, 'stdout' | 'env' | 'clock'>

// The order in which people read an object; the database has one of its own. What is not named here keeps its place
// after these.
const READING_ORDER = 'apiVersion kind name namespace type metadata spec status reason message hint'.split(
  ' ',
)

function inReadingOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inReadingOrder)
  if (typeof value !== 'object' || value === null) return value
  const rank = (name: string) => {
    const index = READING_ORDER.indexOf(name)
    return index === -1 ? READING_ORDER.length : index
  }
  const entries = Object.entries(value).toSorted(([a], [b]) => rank(a) - rank(b))
  return Object.fromEntries(entries.map(([name, inner]) => [name, inReadingOrder(inner)]))
}

/** Prints any value as JSON or YAML; on a terminal without what it would obey. */
export async function printValue(
  given: unknown,
  format: 'json' | 'yaml',
  { stdout }: Printing,
): Promise<void> {
  const value = inReadingOrder(given)
  if (format === 'json') {
    const text = `${JSON.stringify(value, null, 2)}\n`
    stdout.write(stdout.isTTY === true ? escapeJson(text) : text)
    return
  }
  const { stringify } = await import('yaml')
  const text = stringify(value, { lineWidth: 0 })
  stdout.write(stdout.isTTY === true ? escapeControls(text) : text)
}

export interface ListPrinting extends Printing {
  readonly withNamespace?: boolean
  /** `-o name`: only the name, where the verb says the kind anyway. */
  readonly bareNames?: boolean
  /** Columns are at least so wide; widened by what is wider, for the rows that follow. */
  readonly widths?: number[]
}

/** Prints objects of one kind. `single`: the object itself instead of a list of one, in JSON and YAML. */
export async function printResources(
  kind: Kind,
  objects: readonly Resource[],
  format: Format,
  printing: ListPrinting & { readonly single?: boolean },
): Promise<void> {
  if (format === 'json' || format === 'yaml') {
    return printValue(listOf(objects, printing.single === true), format, printing)
  }
  if (format === 'name') {
    const names = objects.map(object => qualifiedName(object, printing.bareNames === true))
    printing.stdout.write(names.map(name => `${name}\n`).join(''))
    return
  }
  const { formatResources } = await import('./columns.ts')
  const { styleFor } = await import('./style.ts')
  const table = formatResources(kind, objects, {
    now: printing.clock.now(),
    wide: format === 'wide',
    withNamespace: printing.withNamespace === true,
    ...(printing.widths === undefined ? {} : { widths: printing.widths }),
    style: styleFor(printing.stdout, printing.env),
  })
  printing.stdout.write(table)
}

/** The objects in one value, as manifests write them: the only one by itself, several or any number as a list. */
export function listOf(objects: readonly Resource[], single: boolean, withManagedFields = false): unknown {
  const items = objects.map(object => asWritten(object, withManagedFields))
  return single ? items[0] : { apiVersion: 'v1', kind: 'List', items }
}

/**
 * An object as manifests write it: not every kind is written as spec and status. Who set which field is left out unless
 * asked for, as kubectl does: it is longer than the rest.
 */
export function asWritten(object: Resource, withManagedFields = false): unknown {
  const { spec, status, metadata, ...type } = object
  const { managedFields: _fields, ...rest } = metadata
  const fields = WIRE_FORMS[object.kind]?.toWire({ spec, status }) ?? { spec, status }
  return { ...type, metadata: withManagedFields ? metadata : rest, ...fields }
}

/** `environment.bothy.dev/calm-otter`, as kubectl writes it and every verb here takes it. */
export function qualifiedName({ kind, metadata }: Resource, bare = false): string {
  const name = escapeControls(metadata.name)
  const { singular, group } = namesOf(kind)
  return bare ? name : `${singular}.${group}/${name}`
}
