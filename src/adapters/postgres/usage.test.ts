import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/postgres.ts'
import { usageReport } from '../../../test/support/usage.ts'

let db: TestDatabase
beforeAll(async () => {
  db = await testDatabase()
})
afterAll(() => db.close())

test('what a runner tells replaces what it told before, and is no change of a resource', async () => {
  const [runner, other] = [randomUUID(), randomUUID()]
  const { at } = await db.store.list('Runner')
  const first = usageReport()
  const second = usageReport({ [randomUUID()]: {} })
  expect(await db.usage.put(runner, first, 1_000)).toBe(0)
  expect(await db.usage.put(runner, second, 2_000)).toBe(0)
  await db.usage.put(other, first, 2_500)
  expect(await db.usage.find([runner, randomUUID()], 3_000, 0)).toEqual(
    new Map([[runner, { toldAtMs: 2_000, report: second }]]),
  )
  expect(await db.usage.find([], 3_000, 0)).toEqual(new Map())
  expect((await db.store.list('Runner')).at).toBe(at)
})

test('whoever looks is told of to the runner, and old figures are not shown', async () => {
  const runner = randomUUID()
  await db.usage.put(runner, usageReport(), 10_000)
  expect((await db.usage.find([runner], 60_000, 10_000)).size).toBe(0)
  expect(await db.usage.put(runner, usageReport(), 61_000)).toBe(0)
  expect((await db.usage.find([runner], 62_000, 32_000)).size).toBe(1)
  expect(await db.usage.put(runner, usageReport(), 63_000)).toBe(62_000)
  // Written down once in a while only.
  await db.usage.find([runner], 64_000, 32_000)
  expect(await db.usage.put(runner, usageReport(), 65_000)).toBe(62_000)
  await db.usage.find([runner], 68_000, 32_000)
  expect(await db.usage.put(runner, usageReport(), 69_000)).toBe(68_000)
})

test('many who look and tell at once do not wait for each other for ever', async () => {
  const runners = Array.from({ length: 20 }, () => randomUUID())
  await Promise.all(runners.map(each => db.usage.put(each, usageReport(), 1_000_000)))
  await Promise.all(
    Array.from({ length: 20 }, async (_, n) => {
      await db.usage.find(n % 2 === 0 ? runners : runners.toReversed(), 1_100_000 + n * 6_000, 0)
      await db.usage.put(runners[n]!, usageReport(), 1_200_000)
    }),
  )
  expect((await db.usage.find(runners, 1_300_000, 0)).size).toBe(20)
})

test('the table is not logged', async () => {
  const client = new pg.Client({ connectionString: db.url })
  await client.connect()
  const { rows } = await client.query<{ relpersistence: string }>(
    `SELECT relpersistence FROM pg_class WHERE oid = 'bothy.usage'::regclass`,
  )
  await client.end()
  expect(rows).toEqual([{ relpersistence: 'u' }])
})
