import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/postgres.ts'
import type { Change, Revision } from '../../core/store.ts'
import { BUFFER_LIMIT } from './subscription.ts'

const HOUR_MS = 3_600_000

let db: TestDatabase
let client: pg.Client
beforeAll(async () => {
  db = await testDatabase()
  client = new pg.Client({ connectionString: db.url })
  await client.connect()
})
afterAll(async () => {
  await client.end()
  await db.close()
})

describe('the feed', () => {
  test('shows nothing of a transaction that is still open, and nothing overtakes it', async () => {
    // A took revision 1 and dawdled; B took 2 and committed. A watcher that had moved on to 2 never saw A's object.
    const { at } = await db.store.list('Runner')
    const seen = watch('slow', at)
    await client.query('BEGIN')
    await client.query('SELECT * FROM bothy.write_batch($1)', [JSON.stringify([item('slow', 'a')])])
    const overtaking = create('slow', 'b')
    await untilWaitingForOrder()
    expect((await db.store.list('Runner', { namespace: 'slow' })).items).toEqual([])
    await client.query('COMMIT')
    await overtaking
    expect((await seen.first(2)).map(each => each.object.metadata.name)).toEqual(['a', 'b'])
  })

  test('goes on when every connection is cut, and misses nothing', async () => {
    const { at } = await db.store.list('Runner')
    const seen = watch('cut', at)
    await create('cut', 'before')
    await seen.first(1)
    await client.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()',
    )
    // By another connection: the store's own may still be finding out.
    await client.query('SELECT * FROM bothy.write_batch($1)', [JSON.stringify([item('cut', 'after')])])
    expect((await seen.first(2)).map(each => each.object.metadata.name)).toEqual(['before', 'after'])
  })

  test('a watcher that does not read is told to list again; the others are not held up', async () => {
    const { at } = await db.store.list('Runner')
    const slow = watch('flood', at)
    const quick = watch('flood', at)
    await create('flood', 'first')
    await slow.first(1)
    const n = BUFFER_LIMIT + 2_000
    const all = quick.first(n + 1)
    for (let from = 0; from < n; from += 1_000) {
      const items = Array.from({ length: 1_000 }, (_, i) => item('flood', `f${from + i}`))
      await client.query('SELECT * FROM bothy.write_batch($1)', [JSON.stringify(items)])
    }
    expect(await all).toHaveLength(n + 1)
    // It has one change in hand already, which it asked for before the flood.
    await expect(slow.first(n + 1)).rejects.toMatchObject({ reason: 'expired', code: 'watcher-too-slow' })
  })

  test('compaction keeps what is young or among the newest, and refuses watches from before', async () => {
    const { at } = await db.store.list('Runner')
    for (const name of ['a', 'b', 'c']) await create('compact', name)
    const floor = await db.compact(HOUR_MS, 0)
    expect(BigInt(floor)).toBeLessThanOrEqual(BigInt(at))
    await expect(watch('compact', at).first(3)).resolves.toHaveLength(3)

    // All is older than an age of nothing; two stay by their number.
    const higher = await db.compact(0, 2)
    const kept = await client.query<{ revision: Revision }>(
      'SELECT revision FROM bothy.change ORDER BY revision',
    )
    expect(kept.rows).toHaveLength(2)
    await expect(watch('compact', at).first(1)).rejects.toMatchObject({ reason: 'expired' })
    expect((await watch('compact', higher).first(2)).map(each => each.object.metadata.name)).toEqual([
      'b',
      'c',
    ])

    const last = await db.compact(0, 0)
    const listing = await db.store.list('Runner', { namespace: 'compact' })
    expect(listing.items).toHaveLength(3)
    expect(listing.at).toBe(last)
    const going = watch('compact', listing.at)
    await create('compact', 'd')
    expect((await going.first(1)).map(each => each.object.metadata.name)).toEqual(['d'])
  })

  test('the log is bounded, however young its changes are', async () => {
    for (let n = 0; n < 12; n++) await create('bounded', `b${n}`)
    const newest = (n: number) =>
      client.query<{ revision: Revision }>(
        'SELECT revision FROM bothy.change ORDER BY revision DESC LIMIT 1 OFFSET $1',
        [n],
      )
    const first = (await newest(5)).rows[0]!.revision
    const { rows } = await client.query<{ floor: Revision }>(
      `SELECT bothy.compact(interval '1 hour', 3, 5) AS floor`,
    )
    expect(rows[0]!.floor).toBe(first)
    expect((await newest(4)).rows).toHaveLength(1)
    expect((await newest(5)).rows).toEqual([])
    // What stays whatever its age is never less than what may stay at most.
    await client.query(`SELECT bothy.compact(interval '1 hour', 4, 2)`)
    expect((await newest(3)).rows).toHaveLength(1)
  })

  test('refuses a revision from the future and one that is none', async () => {
    const { at } = await db.store.list('Runner')
    const future = (BigInt(at) + 1n).toString()
    await expect(watch('x', future).first(1)).rejects.toMatchObject({ reason: 'expired' })
    await expect(watch('x', 'yesterday').first(1)).rejects.toMatchObject({ reason: 'malformed' })
  })
})

describe('writes', () => {
  test('that arrive together are committed together', async () => {
    const names = Array.from({ length: 100 }, (_, n) => `t${n}`)
    await Promise.all(names.map(name => create('together', name)))
    const { rows } = await client.query<{ transactions: string }>(
      `SELECT count(DISTINCT xmin::text) AS transactions FROM bothy.resource WHERE namespace = 'together'`,
    )
    expect(Number(rows[0]!.transactions)).toBeLessThanOrEqual(3)
  })

  test('to one object that arrive together are carried out one after another', async () => {
    const names = Array.from({ length: 5 }, () => 'one')
    const created = await Promise.allSettled(names.map(name => create('serial', name)))
    expect(created.filter(each => each.status === 'fulfilled')).toHaveLength(1)
    const key = { kind: 'Runner', namespace: 'serial', name: 'one' } as const
    const removed = await Promise.allSettled(names.map(() => db.store.remove(key)))
    expect(removed.filter(each => each.status === 'fulfilled')).toHaveLength(1)
  })

  test('do not suffer for a neighbour that cannot be stored', async () => {
    const good = Array.from({ length: 10 }, (_, n) => create('neighbours', `n${n}`))
    const bad = db.store.create({
      kind: 'Runner',
      metadata: { name: 'bad', namespace: 'neighbours', annotations: { nul: 'a\0b' } },
      spec: { cordoned: false },
    })
    await expect(bad).rejects.toMatchObject({ reason: 'invalid', code: 'text-not-storable' })
    expect(await Promise.all(good)).toHaveLength(10)
  })
})

function create(namespace: string, name: string) {
  return db.store.create({ kind: 'Runner', metadata: { name, namespace }, spec: { cordoned: false } })
}

/** As the store would write it. */
function item(namespace: string, name: string): object {
  const uid = crypto.randomUUID()
  const metadata = { name, namespace, uid, generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' }
  const body = {
    apiVersion: 'bothy.dev/v1alpha1',
    kind: 'Runner',
    metadata,
    spec: { cordoned: false },
    status: { conditions: [] },
  }
  return { op: 'create', kind: 'Runner', namespace, name, uid, body }
}

async function untilWaitingForOrder(): Promise<void> {
  for (;;) {
    const { rowCount } = await client.query(`
      SELECT FROM pg_locks JOIN pg_database d ON d.oid = database
       WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()`)
    if (rowCount === 1) return
  }
}

/** Begins at once. `first(n)` waits until n changes have been seen in all; the watch stays open. */
function watch(namespace: string, from: Revision) {
  const abort = new AbortController()
  const changes = db.store.watch('Runner', { namespace, from }, abort.signal)[Symbol.asyncIterator]()
  const seen: Change<'Runner'>[] = []
  let next = changes.next()
  // Reported by `first`.
  next.catch(() => undefined)
  return {
    async first(n: number): Promise<readonly Change<'Runner'>[]> {
      while (seen.length < n) {
        const { value, done } = await next
        if (done === true) throw new Error('the watch ended')
        seen.push(value)
        next = changes.next()
        next.catch(() => undefined)
      }
      return seen
    },
  }
}
