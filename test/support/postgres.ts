import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import pg from 'pg'
import { openPostgres, type Postgres } from '../../src/adapters/postgres/open-postgres.ts'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import { randomSuffix } from '../../src/lib/ids.ts'
import { silentLog } from '../../src/lib/log.ts'
import { BROKER } from './setup-postgres.ts'

export interface TestDatabase extends Postgres {
  /** For further connections of the test's own. */
  readonly url: string
  /** Closes the store and drops the database. */
  close(): Promise<void>
}

/** An empty, migrated database of one's own, opened. For the tests of one file; costs some 50 ms. */
export async function testDatabase(options: { clock?: Clock } = {}): Promise<TestDatabase> {
  const { url, drop } = await testDatabaseUrl()
  const postgres = await openPostgres({ url, log: silentLog, clock: options.clock ?? systemClock })
  const close = async () => {
    await postgres.close()
    await drop()
  }
  return { ...postgres, url, close }
}

/** As `testDatabase`, not opened: for tests that open it themselves. `empty` ones are not migrated either. */
export async function testDatabaseUrl(
  options: { empty?: boolean } = {},
): Promise<{ url: string; drop(): Promise<void> }> {
  const server = await serverUrl()
  const name = `test_${randomSuffix(12)}`
  const template = options.empty === true ? 'template1' : withoutSlash(server.pathname)
  await asAdmin(server, `CREATE DATABASE ${name} TEMPLATE ${template}`)
  return {
    url: inDatabase(server, name),
    drop: () => asAdmin(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  }
}

async function asAdmin(server: URL, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: inDatabase(server, 'postgres') })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

async function serverUrl(): Promise<URL> {
  const path = process.env[BROKER]
  if (path === undefined) throw new Error('run with vitest: its global setup offers the database')
  const answer = JSON.parse(await text(connect(path))) as { url?: string; error?: string }
  if (answer.url === undefined) throw new Error(answer.error)
  return new URL(answer.url)
}

function inDatabase(server: URL, name: string): string {
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

function withoutSlash(path: string): string {
  return path.replace(/^\//, '')
}
