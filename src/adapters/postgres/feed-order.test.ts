// Revision order is commit order. Two servers share a database; eight writers, four of them with transactions that
// dawdle before and after they have drawn their numbers; watchers that begin early and late; lists in between. Then the
// log is read, and everything that anybody saw is compared with it.
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/postgres.ts'
import type { Resource } from '../../api/resource.ts'
import type { Change, Listing, Store } from '../../core/store.ts'
import { systemClock } from '../../lib/clock.ts'
import type { Fault } from '../../lib/fault.ts'
import { uuidv7 } from '../../lib/ids.ts'
import { silentLog } from '../../lib/log.ts'
import { openPostgres, type Postgres } from './open-postgres.ts'

const KIND = 'Runner'
const NAMES = Array.from({ length: 20 }, (_, n) => `name-${n}`)
const LAST = 'last'
const ROUNDS = 50

let db: TestDatabase
let second: Postgres
beforeEach(async () => {
  db = await testDatabase()
  second = await openPostgres({ url: db.url, log: silentLog, clock: systemClock })
})
afterEach(async () => {
  await second.close()
  await db.close()
})

test('nobody misses a change, sees one twice or out of order, and every list is the log up to its revision', async () => {
  const { log, watches, lists } = await storm()
  expect(log.length).toBeGreaterThan(200)
  expect(lists.length).toBeGreaterThan(20)
  expect(problems(log, watches, lists)).toEqual([])
})

test('without the order lock the same storm is noticed', async () => {
  // What the test above is worth: it sees the loss that the lock prevents.
  await asSuperuser(async client => {
    const { rows } = await client.query<{ sql: string }>(
      `SELECT pg_get_functiondef('bothy.write_batch(jsonb)'::regprocedure) AS sql`,
    )
    const weakened = rows[0]!.sql.replace(/PERFORM pg_advisory_xact_lock\([^)]*\);/, 'NULL;')
    expect(weakened).not.toBe(rows[0]!.sql)
    await client.query(weakened)
  })
  const { log, watches, lists } = await storm()
  expect(problems(log, watches, lists)).not.toEqual([])
})

interface LogRow {
  readonly revision: string
  readonly name: string
  readonly removed: boolean
  readonly previous: string | null
}

interface Watch {
  readonly from: bigint
  readonly seen: readonly Change<typeof KIND>[]
}

async function storm(): Promise<{ log: LogRow[]; watches: Watch[]; lists: Listing<typeof KIND>[] }> {
  const stores = [db.store, second.store]
  const { at } = await db.store.list(KIND)
  const early = [...stores, ...stores].map(store => watch(store, at))
  const writing = { done: false }
  const lists: Listing<typeof KIND>[] = []
  const late: Promise<Watch>[] = []
  const listing = stores.map(async store => {
    while (!writing.done) {
      const listed = await store.list(KIND)
      lists.push(listed)
      // Some begin to watch in the middle of the storm, from what they have just listed.
      if (lists.length % 10 === 0 && late.length < 20) late.push(watch(store, listed.at))
      await systemClock.sleep(Math.random() * 10)
    }
  })
  await Promise.all([
    ...[0, 1, 2, 3].map(() => writeSlowly()),
    ...[...stores, ...stores].map(store => writeThrough(store)),
  ])
  writing.done = true
  await Promise.all(listing)
  // Everybody watches until this one, which nothing can overtake.
  await db.store.create({
    kind: KIND,
    metadata: { name: LAST, namespace: 'default' },
    spec: { cordoned: false },
  })
  const watches = await Promise.all([...early, ...late])
  return { log: await readLog(), watches, lists }
}

/** Transactions of one to three writes, with pauses before and after; one in twenty is rolled back. */
async function writeSlowly(): Promise<void> {
  await asSuperuser(async client => {
    for (let round = 0; round < ROUNDS; round++) {
      await client.query('BEGIN')
      await pause(client)
      const names = pick(1 + Math.floor(Math.random() * 3))
      const { rows } = await client.query<{ name: string; revision: string; body: object }>(
        'SELECT name, revision, body FROM bothy.resource WHERE kind = $1 AND namespace = $2 AND name = ANY ($3)',
        [KIND, 'default', names],
      )
      const items = names.map(name => {
        const found = rows.find(row => row.name === name)
        const where = { kind: KIND, namespace: 'default', name }
        if (found === undefined) return { op: 'create', ...where, uid: uuidv7(), body: body(name) }
        const op = Math.random() < 0.3 ? 'remove' : 'put'
        return { op, ...where, uid: uuidv7(), expected: found.revision, body: found.body }
      })
      await client.query('SELECT * FROM bothy.write_batch($1)', [JSON.stringify(items)])
      await pause(client)
      await client.query(Math.random() < 0.05 ? 'ROLLBACK' : 'COMMIT')
    }
  })
}

async function pause(client: pg.Client): Promise<void> {
  await client.query('SELECT pg_sleep($1)', [Math.random() * 0.01])
}

/** As a controller writes; to lose against another writer is normal here. */
async function writeThrough(store: Store): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const [name] = pick(1)
    const key = { kind: KIND, namespace: 'default', name: name! } as const
    try {
      const found = await store.find(key)
      if (found === undefined) {
        await store.create({
          kind: KIND,
          metadata: { name: key.name, namespace: 'default' },
          spec: { cordoned: false },
        })
      } else if (Math.random() < 0.2) await store.remove(key)
      else await store.update({ ...found, spec: { cordoned: !found.spec.cordoned } }, 'main')
    } catch (error) {
      expect(['conflict', 'not_found', 'already_exists']).toContain((error as Fault).reason)
    }
  }
}

async function watch(store: Store, from: string): Promise<Watch> {
  const seen: Change<typeof KIND>[] = []
  const abort = new AbortController()
  for await (const change of store.watch(KIND, { from }, abort.signal)) {
    seen.push(change)
    if (change.object.metadata.name === LAST) abort.abort()
  }
  return { from: BigInt(from), seen }
}

async function readLog(): Promise<LogRow[]> {
  return asSuperuser(async client => {
    const { rows } = await client.query<LogRow>(
      'SELECT revision, name, removed, previous_revision AS previous FROM bothy.change ORDER BY revision',
    )
    return rows
  })
}

function problems(
  log: readonly LogRow[],
  watches: readonly Watch[],
  lists: readonly Listing<typeof KIND>[],
): string[] {
  const line = (row: LogRow) =>
    `${row.revision} ${row.removed ? 'gone' : 'put'} ${row.name} after ${row.previous}`
  const said = ({ at, type, object, previous }: Change<typeof KIND>) =>
    `${at} ${type} ${object.metadata.name} after ${previous?.metadata.resourceVersion ?? null}`
  const unchained = log.filter((row, index) => {
    const before = log.slice(0, index).findLast(({ name }) => name === row.name)
    return row.previous !== (before === undefined || before.removed ? null : before.revision)
  })
  return [
    ...unchained.map(row => `the log contradicts itself at ${line(row)}`),
    ...watches.flatMap(({ from, seen }, n) => {
      const expected = log.filter(row => BigInt(row.revision) > from).map(line)
      return same(seen.map(said), expected)
        ? []
        : [`watch ${n} saw ${seen.length} changes, not ${expected.length}`]
    }),
    ...lists.flatMap(({ at, items }) => {
      const state = new Map<string, string>()
      for (const row of log.filter(({ revision }) => BigInt(revision) <= BigInt(at))) {
        if (row.removed) state.delete(row.name)
        else state.set(row.name, row.revision)
      }
      const listed = items.map(({ metadata }) => `${metadata.name} ${metadata.resourceVersion}`)
      const replayed = [...state].map(([name, revision]) => `${name} ${revision}`)
      return same(listed.toSorted(), replayed.toSorted())
        ? []
        : [`the list at ${at} is not the log up to there`]
    }),
  ]
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((each, n) => each === b[n])
}

function pick(n: number): string[] {
  return NAMES.toSorted(() => Math.random() - 0.5).slice(0, n)
}

function body(name: string): Omit<Resource<typeof KIND>, 'metadata'> & { metadata: object } {
  return {
    apiVersion: 'bothy.dev/v1alpha1',
    kind: KIND,
    metadata: {
      name,
      namespace: 'default',
      uid: uuidv7(),
      generation: 1,
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
    spec: { cordoned: false },
    status: { conditions: [] },
  }
}

async function asSuperuser<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: db.url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}
