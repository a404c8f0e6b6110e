import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/postgres.ts'

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

test('heartbeats that arrive together are written together, and all are answered', async () => {
  const holders = Array.from({ length: 200 }, (_, n) => `runner-${n}`)
  await Promise.all(holders.map((holder, n) => db.leases.renew(holder, 1_000 + n)))
  const leases = await db.leases.list()
  expect(holders.map(holder => leases.get(holder))).toEqual(holders.map((_, n) => 1_000 + n))
  const { rows } = await client.query<{ n: string }>(
    'SELECT count(DISTINCT xmin::text) AS n FROM bothy.lease',
  )
  // The first goes alone, those that came meanwhile with the second.
  expect(Number(rows[0]!.n)).toBe(2)
})

test('a heartbeat that was held up does not age a lease', async () => {
  await db.leases.renew('late', 5_000)
  await Promise.all([4_000, 6_000, 3_000].map(at => db.leases.renew('late', at)))
  expect((await db.leases.list()).get('late')).toBe(6_000)
})

test('heartbeats change no resource and write no change', async () => {
  const { at } = await db.store.list('Runner')
  const writes = 'SELECT count(*) AS n FROM bothy.change'
  const before = await client.query(writes)
  await Promise.all(Array.from({ length: 50 }, (_, n) => db.leases.renew(`quiet-${n}`, 1)))
  expect((await db.store.list('Runner')).at).toBe(at)
  expect((await client.query(writes)).rows).toEqual(before.rows)
})

test('heartbeats that cannot be written are refused, and the next ones are tried again', async () => {
  await client.query('ALTER TABLE bothy.lease RENAME TO hidden')
  await expect(Promise.all([db.leases.renew('a', 1), db.leases.renew('b', 1)])).rejects.toMatchObject({
    name: 'Fault',
    reason: 'internal',
  })
  await client.query('ALTER TABLE bothy.hidden RENAME TO lease')
  await db.leases.renew('a', 2)
  expect((await db.leases.list()).get('a')).toBe(2)
})
