// Lists, and their pages. All pages of a list come from one snapshot: what is left of it waits in memory for a while.
import { randomBytes } from 'node:crypto'
import type { Resource } from '../../../api/resource.ts'
import type { Clock } from '../../../lib/clock.ts'
import { Fault } from '../../../lib/fault.ts'
import type { Access } from '../../access.ts'
import { describePrincipal } from '../../principal.ts'
import type { ListMeta } from './answers.ts'
import { integer, oneOf, parseSelection, type Query, revision } from './query.ts'
import { matchesSelectors } from './selectors.ts'
import type { Served } from './served.ts'

const MAX_LIMIT = 1_000_000
const KEEP_MS = 5 * 60_000
// Each holds references to objects of one list: 32 lists of 10,000 objects of 2 KB are some 600 MB at the very worst.
const MAX_SNAPSHOTS = 32

export interface Page {
  readonly items: readonly Resource[]
  readonly meta: ListMeta
}

interface Snapshot {
  /** Whose list of what; a token is good for the same question only. */
  readonly question: string
  readonly items: readonly Resource[]
  readonly at: string
  readonly untilMs: number
}

/** Snapshots that wait for their next page. Another server, or this one after a restart, answers 410: list again. */
export class ListSnapshots {
  readonly #clock: Clock
  readonly #kept = new Map<string, Snapshot>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  keep(question: string, items: readonly Resource[], at: string): string {
    const now = this.#clock.now()
    for (const [id, snapshot] of this.#kept) if (snapshot.untilMs < now) this.#kept.delete(id)
    if (this.#kept.size >= MAX_SNAPSHOTS) this.#kept.delete(this.#kept.keys().next().value!)
    const id = randomBytes(12).toString('base64url')
    this.#kept.set(id, { question, items, at, untilMs: now + KEEP_MS })
    return id
  }

  /** Faults with `expired`. */
  get(id: string, question: string): Snapshot {
    const snapshot = this.#kept.get(id)
    if (snapshot !== undefined && snapshot.question === question && snapshot.untilMs >= this.#clock.now())
      return snapshot
    const message = 'list: the continue token is too old to go on with a consistent list'
    throw new Fault('expired', 'continue-expired', message, { hint: 'list again without a continue token' })
  }
}

export async function listPage(
  access: Access,
  snapshots: ListSnapshots,
  served: Served,
  namespace: string | undefined,
  query: Query,
): Promise<Page> {
  const limit = integer(query, 'limit', MAX_LIMIT) ?? 0
  const token = query.get('continue') ?? ''
  const selection = parseSelection(query, served, namespace)
  const selectors = [query.get('labelSelector') ?? '', query.get('fieldSelector') ?? '']
  const question = JSON.stringify([
    describePrincipal(access.principal),
    served.plural,
    namespace ?? '',
    ...selectors,
  ])
  if (token !== '') {
    const { id, offset } = parseToken(token)
    return page(snapshots.get(id, question), id, offset, limit)
  }

  const listing = await access.list(served.stored, selection.options)
  checkRevision(query, listing.at)
  const items = listing.items.filter(item => matchesSelectors(item, selection.labels, selection.fields))
  if (limit === 0 || items.length <= limit) return { items, meta: { resourceVersion: listing.at } }
  const id = snapshots.keep(question, items, listing.at)
  return page(snapshots.get(id, question), id, 0, limit)
}

function page({ items, at }: Snapshot, id: string, offset: number, limit: number): Page {
  const end = limit === 0 ? items.length : Math.min(items.length, offset + limit)
  const remaining = items.length - end
  const more = remaining === 0 ? {} : { continue: `${id}.${end}`, remainingItemCount: remaining }
  return { items: items.slice(offset, end), meta: { resourceVersion: at, ...more } }
}

function parseToken(token: string): { id: string; offset: number } {
  const match = /^([A-Za-z0-9_-]{16})\.([0-9]{1,9})$/.exec(token)
  if (match === null)
    throw new Fault('malformed', 'continue-malformed', 'list: the continue token is not one of ours')
  return { id: match[1]!, offset: Number(match[2]) }
}

/** A list is always of now: newer than any revision that exists, so that only `Exact` and the future are refused. */
function checkRevision(query: Query, at: string): void {
  const wanted = revision(query)
  const match = oneOf(query, 'resourceVersionMatch', ['Exact', 'NotOlderThan'])
  if (wanted === undefined || wanted === '0') return
  if (BigInt(wanted) > BigInt(at))
    throw new Fault('timeout', 'revision-too-large', `list at revision ${wanted}: the store is at ${at}`, {
      hint: 'list without a resourceVersion',
      causes: [{ field: '', message: 'Too large resource version', reason: 'ResourceVersionTooLarge' }],
    })
  if (match === 'Exact' && wanted !== at)
    throw new Fault('expired', 'revision-not-kept', `list at revision ${wanted}: only the latest is kept`, {
      hint: 'list without a resourceVersion',
    })
}
