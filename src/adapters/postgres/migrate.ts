// Migrations are plain SQL files, applied in the order of their numbers, each in one transaction that also records it.
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { Fault } from '../../lib/fault.ts'
import type { Log } from '../../lib/log.ts'
import { sqlFault } from './sql-faults.ts'

export const MIGRATIONS = fileURLToPath(new URL('../../../migrations/', import.meta.url))

// PostgreSQL 15, the oldest that is tested: what the SQL needs came with 14 and before.
const OLDEST_SERVER = 150_000

interface Migration {
  readonly version: number
  readonly name: string
  readonly sql: string
  readonly checksum: string
}

/**
 * Brings the database to this program's version; does nothing when it is there already. Any number of programs may call
 * it at once: one works, the others wait. Faults with `unsupported` when the database is newer than the program, when a
 * migration that was applied is not the one in the program, or when the server is too old or not UTF-8.
 */
export async function migrate(options: { url: string; log: Log; folder?: string }): Promise<void> {
  const migrations = await readMigrations(options.folder ?? MIGRATIONS)
  const client = new pg.Client({
    connectionString: options.url,
    application_name: 'bothy-migrate',
    connectionTimeoutMillis: 10_000,
  })
  // A connection that breaks between two queries makes the next query fail, which is where it is handled.
  client.on('error', () => undefined)
  try {
    await client.connect()
    await checkServer(client)
    // Held by the session: it goes with the connection, however the program ends.
    await client.query('SELECT pg_advisory_lock(1651471464, 2)')
    await client.query(`
      CREATE SCHEMA IF NOT EXISTS bothy;
      CREATE TABLE IF NOT EXISTS bothy.migration (
        version integer PRIMARY KEY,
        name text NOT NULL,
        checksum text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
      )`)
    const applied = await client.query<Omit<Migration, 'sql'>>(
      'SELECT version, name, checksum FROM bothy.migration ORDER BY version',
    )
    for (const migration of pending(migrations, applied.rows)) {
      await apply(client, migration)
      options.log.info({ migration: migration.name }, 'migration applied')
    }
  } catch (error) {
    throw sqlFault(error, 'migrate the database')
  } finally {
    // The connection may be broken; its lock went with it.
    await client.end().catch(() => undefined)
  }
}

/** What is still to do. Pure; faults when the history in the database is not a beginning of ours. */
export function pending<M extends Omit<Migration, 'sql'>>(
  ours: readonly M[],
  applied: readonly Omit<Migration, 'sql'>[],
): readonly M[] {
  for (const done of applied) {
    const known = ours.find(({ version }) => version === done.version)
    if (known === undefined) {
      const message = `migrate the database: it holds migration '${done.name}', which this program does not know`
      const hint = 'a newer bothy has used this database: run that version or a later one'
      throw new Fault('unsupported', 'database-newer', message, { hint })
    }
    if (known.checksum !== done.checksum) {
      const message = `migrate the database: migration '${done.name}' was applied in another wording`
      const hint = 'migrations are never edited: restore the file, and put the change into a new migration'
      throw new Fault('unsupported', 'migration-edited', message, { hint })
    }
  }
  return ours.filter(({ version }) => !applied.some(done => done.version === version))
}

async function readMigrations(folder: string): Promise<readonly Migration[]> {
  const files = (await readdir(folder)).filter(file => /^[0-9]{4}-[a-z0-9-]+\.sql$/.test(file)).sort()
  return Promise.all(
    files.map(async file => {
      // A checkout on Windows must not count as an edit.
      const sql = (await readFile(`${folder}/${file}`, 'utf8')).replaceAll('\r\n', '\n')
      const checksum = createHash('sha256').update(sql).digest('hex')
      return { version: Number(file.slice(0, 4)), name: file.slice(0, -'.sql'.length), sql, checksum }
    }),
  )
}

async function apply(client: pg.Client, { version, name, sql, checksum }: Migration): Promise<void> {
  await client.query('BEGIN')
  try {
    await client.query(sql)
    await client.query('INSERT INTO bothy.migration (version, name, checksum) VALUES ($1, $2, $3)', [
      version,
      name,
      checksum,
    ])
    await client.query('COMMIT')
  } catch (error) {
    // Best effort: when the connection is gone, so is the transaction.
    await client.query('ROLLBACK').catch(() => undefined)
    throw sqlFault(error, `apply migration '${name}'`)
  }
}

async function checkServer(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ version: string; encoding: string }>(
    `SELECT current_setting('server_version_num') AS version, current_setting('server_encoding') AS encoding`,
  )
  const { version = '0', encoding = '' } = rows[0] ?? {}
  if (Number(version) < OLDEST_SERVER) {
    const message = `open the database: PostgreSQL ${Math.floor(Number(version) / 10_000)} is too old`
    throw new Fault('unsupported', 'database-too-old', message, { hint: 'use PostgreSQL 15 or later' })
  }
  if (encoding !== 'UTF8') {
    const message = `open the database: its encoding is ${encoding}`
    throw new Fault('unsupported', 'database-not-utf8', message, {
      hint: "create it with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
    })
  }
}
