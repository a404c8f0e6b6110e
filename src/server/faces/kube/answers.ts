// Objects and lists in the forms that clients ask for.
import type { Resource } from '../../../api/resource.ts'
import type { Millis } from '../../../lib/clock.ts'
import type { AnswerForm } from './accept.ts'
import { type Served, toWire } from './served.ts'
import { columnDefinitions, type IncludeObject, partialMetadata, tableRow } from './table.ts'

export interface Rendering {
  readonly form: AnswerForm
  readonly include: IncludeObject
  readonly nowMs: Millis
}

export interface ListMeta {
  readonly resourceVersion: string
  readonly continue?: string
  readonly remainingItemCount?: number
}

export function renderObject(served: Served, object: Resource, rendering: Rendering): object {
  const { form } = rendering
  if (form.form === 'json') return toWire(served, object)
  if (form.form === 'partial') return partialMetadata(object, form.version)
  return table(served, [object], { resourceVersion: object.metadata.resourceVersion }, rendering)
}

export function renderList(
  served: Served,
  items: readonly Resource[],
  meta: ListMeta,
  rendering: Rendering,
): object {
  const { form } = rendering
  if (form.form === 'table') return table(served, items, meta, rendering)
  const { kind, apiVersion } =
    form.form === 'partial'
      ? { kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${form.version}` }
      : served
  return { kind: `${kind}List`, apiVersion, metadata: meta, items: renderElements(served, items, rendering) }
}

/** What a list has for its objects: the last of its properties. */
export function renderElements(
  served: Served,
  items: readonly Resource[],
  { form, include, nowMs }: Rendering,
): readonly object[] {
  if (form.form === 'json') return items.map(item => toWire(served, item))
  const { version } = form
  return form.form === 'partial'
    ? items.map(item => partialMetadata(item, version))
    : items.map(item => tableRow(served, item, include, version, nowMs))
}

/** One line of a watch. `columns`: with the definitions, which a watch sends in its first event only. */
export function renderEvent(
  served: Served,
  type: 'ADDED' | 'MODIFIED' | 'DELETED',
  object: Resource,
  rendering: Rendering,
  columns: boolean,
): string {
  const rendered = renderObject(served, object, rendering)
  const kept =
    rendering.form.form === 'table' && !columns ? { ...rendered, columnDefinitions: undefined } : rendered
  return `${JSON.stringify({ type, object: kept })}\n`
}

/** A line of a watch, alone and as one chunk of a chunked answer. */
export interface Frame {
  readonly line: Buffer
  readonly chunk: Buffer
}

// By object, then by what else the line depends on. Watchers of one change share its object, and with it its frames.
const frames = new WeakMap<object, Map<string, Frame>>()

/**
 * `renderEvent` as bytes, made once for all who watch in the same form. Not for tables: the age in them is of the moment.
 */
export function eventFrame(
  served: Served,
  type: 'ADDED' | 'MODIFIED' | 'DELETED',
  object: Resource,
  rendering: Rendering,
  columns: boolean,
): Frame {
  const { form } = rendering
  const make = () => frame(renderEvent(served, type, object, rendering, columns))
  if (form.form === 'table') return make()
  const id = `${type} ${form.form === 'partial' ? form.version : ''} ${served.apiVersion} ${served.kind}`
  let known = frames.get(object)
  if (known === undefined) {
    known = new Map()
    frames.set(object, known)
  }
  let made = known.get(id)
  if (made === undefined) {
    made = make()
    known.set(id, made)
  }
  return made
}

function frame(text: string): Frame {
  const length = Buffer.byteLength(text)
  const head = `${length.toString(16)}\r\n`
  const chunk = Buffer.from(`${head}${text}\r\n`)
  return { line: chunk.subarray(head.length, head.length + length), chunk }
}

/** A bookmark: everything up to `at` has been sent. `initialEnd` ends the events that a WatchList starts with. */
export function renderBookmark(
  { kind, apiVersion }: Served,
  at: string,
  { form }: Rendering,
  initialEnd: boolean,
): string {
  const annotations = initialEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}
  const metadata = { resourceVersion: at, ...annotations }
  const object =
    form.form === 'table'
      ? { kind: 'Table', apiVersion: `meta.k8s.io/${form.version}`, metadata, rows: [] }
      : form.form === 'partial'
        ? { kind: 'PartialObjectMetadata', apiVersion: `meta.k8s.io/${form.version}`, metadata }
        : { kind, apiVersion, metadata }
  return `${JSON.stringify({ type: 'BOOKMARK', object })}\n`
}

function table(served: Served, items: readonly Resource[], meta: ListMeta, rendering: Rendering): object {
  const version = rendering.form.form === 'json' ? 'v1' : rendering.form.version
  return {
    kind: 'Table',
    apiVersion: `meta.k8s.io/${version}`,
    metadata: meta,
    columnDefinitions: columnDefinitions(served),
    rows: renderElements(served, items, rendering),
  }
}
