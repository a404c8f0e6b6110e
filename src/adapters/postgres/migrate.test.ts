import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { testDatabaseUrl } from '../../../test/support/postgres.ts'
import { silentLog } from '../../lib/log.ts'
import { MIGRATIONS, migrate, pending } from './migrate.ts'

describe('migrate', () => {
  let db: { url: string; drop(): Promise<void> }
  let folder: string
  beforeEach(async () => {
    db = await testDatabaseUrl({ empty: true })
    folder = await mkdtemp(join(tmpdir(), 'bothy-migrations-'))
  })
  afterEach(async () => {
    await rm(folder, { recursive: true })
    await db.drop()
  })

  const run = (from = folder) => migrate({ url: db.url, log: silentLog, folder: from })

  test('several servers that start at once migrate once', async () => {
    // It fails when it runs twice, and takes long enough for the others to come.
    await writeFile(join(folder, '0001-slow.sql'), `SELECT pg_sleep(0.2); CREATE TABLE bothy.thing (n int);`)
    await writeFile(join(folder, '0002-more.sql'), `INSERT INTO bothy.thing VALUES (1);`)
    await Promise.all(Array.from({ length: 5 }, () => run()))
    await run()
    expect(await rows('SELECT n FROM bothy.thing')).toEqual([{ n: 1 }])
    expect(await rows('SELECT version, name FROM bothy.migration ORDER BY version')).toEqual([
      { version: 1, name: '0001-slow' },
      { version: 2, name: '0002-more' },
    ])
  })

  test('our own migrations pass on an empty database, twice', async () => {
    await run(MIGRATIONS)
    await run(MIGRATIONS)
    expect(await rows('SELECT revision FROM bothy.floor')).toEqual([{ revision: '1000' }])
  })

  test('a migration that fails leaves nothing behind, and can be tried again', async () => {
    await writeFile(join(folder, '0001-good.sql'), 'CREATE TABLE bothy.good (n int);')
    await writeFile(join(folder, '0002-bad.sql'), 'CREATE TABLE bothy.bad (n int); SELECT 1 / 0;')
    await expect(run()).rejects.toMatchObject({ message: expect.stringContaining(`'0002-bad'`) })
    expect(
      await rows(`SELECT tablename AS name FROM pg_tables WHERE schemaname = 'bothy' ORDER BY 1`),
    ).toEqual([{ name: 'good' }, { name: 'migration' }])
    await writeFile(join(folder, '0002-bad.sql'), 'CREATE TABLE bothy.bad (n int);')
    await run()
  })

  test('an edited migration and a database from the future are refused', async () => {
    await writeFile(join(folder, '0001-a.sql'), 'CREATE TABLE bothy.a (n int);')
    await writeFile(join(folder, '0002-b.sql'), 'CREATE TABLE bothy.b (n int);')
    await run()
    await writeFile(join(folder, '0001-a.sql'), 'CREATE TABLE bothy.a (n bigint);')
    await expect(run()).rejects.toMatchObject({ reason: 'unsupported', code: 'migration-edited' })
    await writeFile(join(folder, '0001-a.sql'), 'CREATE TABLE bothy.a (n int);')
    await rm(join(folder, '0002-b.sql'))
    await expect(run()).rejects.toMatchObject({ reason: 'unsupported', code: 'database-newer' })
  })

  test('a database that does not answer is unavailable', async () => {
    const url = 'postgresql://nobody:x@127.0.0.1:1/none'
    await expect(migrate({ url, log: silentLog })).rejects.toMatchObject({
      reason: 'unavailable',
      code: 'database-unreachable',
    })
    const wrong = new URL(db.url)
    wrong.password = 'wrong'
    await expect(migrate({ url: wrong.href, log: silentLog })).rejects.toMatchObject({
      reason: 'unavailable',
      code: 'database-refuses-login',
    })
  })

  async function rows(sql: string): Promise<object[]> {
    const client = new pg.Client({ connectionString: db.url })
    await client.connect()
    try {
      return (await client.query<object>(sql)).rows
    } finally {
      await client.end()
    }
  }
})

const a = { version: 1, name: '0001-a', checksum: 'x' }
const b = { version: 2, name: '0002-b', checksum: 'y' }
test.each([
  ['nothing done', [a, b], [], [a, b]],
  ['one done', [a, b], [a], [b]],
  ['all done', [a, b], [a, b], []],
  ['one came in late', [a, b], [b], [a]],
] as const)('pending: %s', (_, ours, applied, expected) => {
  expect(pending(ours, applied)).toEqual(expected)
})
