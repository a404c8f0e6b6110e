// Lists: a page is answered at once, all of it in pieces while it is read. All pages and pieces are of one moment.
import { Readable } from 'node:stream'
import type { Kind, Resource } from '../../../api/resource.ts'
import type { Listing, PageOptions } from '../../../core/store.ts'
import { Fault } from '../../../lib/fault.ts'
import type { Access } from '../../access.ts'
import { type Rendering, renderElements, renderList } from './answers.ts'
import { integer, parseSelection, type Query, revision, type Selection } from './query.ts'
import { matchesSelectors } from './selectors.ts'
import type { Served } from './served.ts'

const MAX_LIMIT = 1_000_000
// What is rendered in one go keeps everybody else waiting: some 10 µs for an object.
const MAX_PAGE = 1_000
const PIECE = 250

/** An object to be answered, or the text of one, as a stream. Faults with `expired`, `malformed`. */
export async function answerList(
  access: Access,
  served: Served,
  namespace: string | undefined,
  query: Query,
  rendering: Rendering,
): Promise<object> {
  const limit = integer(query, 'limit', MAX_LIMIT) ?? 0
  const token = query.get('continue') ?? ''
  const selection = parseSelection(query, served, namespace)
  const options = { ...selection.options, ...snapshotOf(query, token) }
  if (limit > 0) {
    const isWhole = selection.labels.length === 0 && selection.fields.length === 0
    const asked = { ...options, limit: Math.min(limit, MAX_PAGE), countsRemaining: isWhole }
    const listing = await access.list(served.stored, asked)
    checkRevision(query, listing.at)
    return renderList(served, select(listing.items, selection), metaOf(listing), rendering)
  }
  const pages = pagesOf(access, served.stored, options)
  // What is wrong with the request shows now, while it can still be said.
  const first = (await pages.next()).value as Listing<Kind>
  checkRevision(query, first.at)
  const meta = { resourceVersion: first.at }
  if (first.continue === undefined) return renderList(served, select(first.items, selection), meta, rendering)
  const head = JSON.stringify(renderList(served, [], meta, rendering)).slice(0, -2)
  const textOf = ({ items }: Listing<Kind>): string =>
    renderElements(served, select(items, selection), rendering)
      .map(element => JSON.stringify(element))
      .join(',')
  return Readable.from(joined(head, first, pages, textOf), { highWaterMark: 1 })
}

/** The pages of all that is selected, of one moment, each read when it is asked for. */
export async function* pagesOf(
  access: Access,
  kind: Kind,
  options: PageOptions,
): AsyncGenerator<Listing<Kind>, void, undefined> {
  const { at: _, ...question } = options
  let page = await access.list(kind, { ...options, limit: PIECE })
  for (;;) {
    yield page
    if (page.continue === undefined) return
    page = await access.list(kind, { ...question, limit: PIECE, continue: page.continue })
  }
}

async function* joined(
  head: string,
  first: Listing<Kind>,
  rest: AsyncIterable<Listing<Kind>>,
  textOf: (page: Listing<Kind>) => string,
): AsyncGenerator<string, void, undefined> {
  let text = textOf(first)
  yield head + text
  let isEmpty = text === ''
  for await (const page of rest) {
    text = textOf(page)
    if (text === '') continue
    yield isEmpty ? text : `,${text}`
    isEmpty = false
  }
  yield ']}'
}

function select(items: readonly Resource[], { labels, fields }: Selection): readonly Resource[] {
  return items.filter(item => matchesSelectors(item, labels, fields))
}

function metaOf({ at, continue: more, remaining }: Listing<Kind>) {
  return {
    resourceVersion: at,
    ...(more === undefined ? {} : { continue: more }),
    ...(remaining === undefined ? {} : { remainingItemCount: remaining }),
  }
}

function snapshotOf(query: Query, token: string): Pick<PageOptions, 'continue' | 'at'> {
  const wanted = revision(query)
  const match = query.get('resourceVersionMatch')
  if (token === '') return match === 'Exact' && wanted !== undefined && wanted !== '0' ? { at: wanted } : {}
  if (wanted === undefined || wanted === '0') return { continue: token }
  const message = 'list: specifying resource version is not allowed when using continue'
  throw new Fault('malformed', 'query-malformed', message, { hint: 'leave resourceVersion out' })
}

/** Unless it is `Exact`, a list is of now: newer than any revision that exists, so that only the future is refused. */
export function checkRevision(query: Query, at: string): void {
  const wanted = revision(query)
  if (wanted === undefined || BigInt(wanted) <= BigInt(at)) return
  const message = `Too large resource version: ${wanted}, current: ${at}`
  throw new Fault('timeout', 'revision-too-large', message, {
    hint: 'list without a resourceVersion',
    causes: [{ field: '', message: 'Too large resource version', reason: 'ResourceVersionTooLarge' }],
  })
}
