// Lists, whole or in pages. All pages of a list are of one moment: what has changed since the first is put back to what
// the change log says it was before.
import type pg from 'pg'
import type { Kind } from '../../api/resource.ts'
import type { Listing, PageOptions, Revision } from '../../core/store.ts'
import { Fault } from '../../lib/fault.ts'
import { fromToken, type Position, toToken } from './continue-token.ts'
import { type Body, toResource } from './rows.ts'
import { COLUMNS, Parameters, selectionSql } from './selection.ts'
import { sqlFault } from './sql-faults.ts'

interface Row {
  readonly floor: string
  readonly head: string
  readonly remaining: string | null
  readonly revision: string | null
  readonly namespace: string
  readonly name: string
  readonly body: Body
}

/** As `Store.list`. */
export async function list<K extends Kind>(
  pool: pg.Pool,
  kind: K,
  options: PageOptions,
): Promise<Listing<K>> {
  const after = options.continue === undefined ? undefined : fromToken(options.continue, options.namespace)
  const at = after === undefined ? options.at : after.at
  const { text, values } = listSql(kind, options, after, at)
  const rows = await query(pool, kind, text, values)
  const { floor, head, remaining } = rows[0]!
  if (at !== undefined) checkKept(kind, at, floor, head, after)

  const found = rows.filter(({ revision }) => revision !== null)
  const { limit } = options
  const page = limit === undefined ? found : found.slice(0, limit)
  const last = page.at(-1)
  const isLast = last === undefined || page.length === found.length
  const listing = {
    items: page.map(({ body, revision }) => toResource<K>(body, revision!)),
    at: at ?? head,
  }
  if (isLast) return listing
  const { namespace, name } = last
  return {
    ...listing,
    continue: toToken({ at: listing.at, namespace, name }),
    // Counted in the latest snapshot, where less may be left than in the list's own.
    ...(remaining === null ? {} : { remaining: Math.max(1, Number(remaining) - page.length) }),
  }
}

async function query(pool: pg.Pool, kind: Kind, text: string, values: unknown[]): Promise<readonly Row[]> {
  try {
    return (await pool.query<Row>(text, values)).rows
  } catch (error) {
    throw sqlFault(error, `list ${kind}`)
  }
}

/**
 * One statement is one snapshot: the items, and the revision that they are of. The revision must not come from the
 * sequence, which knows nothing of snapshots. One row more than wanted says that there are more.
 */
function listSql(
  kind: Kind,
  options: PageOptions,
  after: Position | undefined,
  at: Revision | undefined,
): { text: string; values: unknown[] } {
  const parameters = new Parameters()
  const selected = selectionSql(kind, options, parameters)
  const beyond =
    after === undefined
      ? ''
      : `AND (r.namespace, r.name) > (${parameters.add(after.namespace)}, ${parameters.add(after.name)})`
  const limit = options.limit === undefined ? '' : `LIMIT ${parameters.add(options.limit + 1)}`
  const stored = (condition: string) => `
    SELECT r.namespace, r.name, r.revision, r.body FROM bothy.resource r
     WHERE ${selected} ${beyond} ${condition} ORDER BY r.namespace, r.name ${limit}`
  // Whatever is selected: changes and counts are about all objects.
  const { namespace } = options
  const everything = () => selectionSql(kind, namespace === undefined ? {} : { namespace }, parameters)
  const remaining =
    options.countsRemaining === true
      ? `(SELECT count(*) FROM bothy.resource r WHERE ${everything()} ${beyond})`
      : 'NULL'
  const text = (rows: string) => `
    SELECT f.revision AS floor, ${remaining} AS remaining,
           greatest(f.revision, coalesce((SELECT max(c.revision) FROM bothy.change c), 0)) AS head,
           r.namespace, r.name, r.revision, r.body
      FROM bothy.floor f LEFT JOIN (${rows}) r ON true
     ORDER BY r.namespace, r.name ${limit}`
  if (at === undefined) return { text: text(stored('')), values: parameters.values }

  // What is as it was then, and of everything that has changed since, what its first change replaced.
  const revision = parameters.add(at)
  const replaced = `
    SELECT r.namespace, r.name, r.revision, r.body
      FROM (SELECT DISTINCT ON (r.namespace, r.name) r.revision AS first
              FROM bothy.change r
             WHERE ${everything()} ${beyond} AND r.revision > ${revision}
             ORDER BY r.namespace, r.name, r.revision) changed
      CROSS JOIN LATERAL (
        SELECT c.kind, c.namespace, c.name, c.previous_revision AS revision, c.previous AS body,
               ${COLUMNS.map(({ name, sql }) => `${sql('c.previous')} AS ${name}`).join(', ')}
          FROM bothy.change c WHERE c.revision = changed.first AND c.previous IS NOT NULL) r
     WHERE ${selected}`
  const both = `(${stored(`AND r.revision <= ${revision}`)}) UNION ALL (${replaced})`
  return { text: text(both), values: parameters.values }
}

function checkKept(kind: Kind, at: Revision, floor: string, head: string, after: Position | undefined): void {
  const what = `list ${kind} as of revision ${at}`
  const isFuture = BigInt(at) > BigInt(head)
  if (isFuture && after === undefined)
    throw new Fault('timeout', 'revision-too-large', `${what}: the store is at ${head}`, {
      hint: 'list without a revision',
      causes: [{ field: '', message: 'Too large resource version', reason: 'ResourceVersionTooLarge' }],
    })
  if (!isFuture && BigInt(at) >= BigInt(floor)) return
  // A token from the future is from before the store was restored from a backup.
  const why = isFuture ? `the store is at ${head} only` : `what was before ${floor} is forgotten`
  const message = `${what}: ${why}`
  const hint = 'list again from the beginning'
  // Whoever can do with pages of different moments goes on from here.
  const goOn = after === undefined ? {} : { continue: toToken({ ...after, at: undefined }) }
  throw new Fault('expired', 'list-expired', message, { hint, ...goOn })
}
