// A real PostgreSQL of our own, for installations without one: its programs come with the npm packages, and it runs
// beside this process, not in it. It outlives a crash of this process, and the next start takes it over.
import { createHash } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import pg from 'pg'
import { type Millis, systemClock } from '../../../lib/clock.ts'
import type { Log } from '../../../lib/log.ts'
import { sqlFault } from '../sql-faults.ts'
import { serverAccount } from './account.ts'
import { DATABASE_USER, ensureCluster, socketFolder } from './cluster.ts'
import { lockFolder } from './folder-lock.ts'
import { dataOwner, serverHome } from './home.ts'
import { type Launch, launchServer, PORT, takeOver } from './launch.ts'
import { isAlive, type Postmaster, stopPostmaster } from './postmaster.ts'
import { installPrograms } from './programs.ts'

export interface EmbeddedPostgresOptions {
  /** Bothy's data folder; the database lives in `postgres` below it (see home.ts for root's exception). */
  readonly dataDir: string
  readonly log: Log
  /** Aborts the start; a server that runs is stopped by `stop` only. */
  readonly signal?: AbortSignal
  /** How long to wait for an earlier process that holds the folder, and may be ending. Default: not at all. */
  readonly waitMs?: Millis
  /** False: data does not survive a crash of the machine. For tests. */
  readonly fsync?: boolean
}

export interface EmbeddedPostgres {
  /** Holds the password: not for logs and not for argv. */
  readonly url: string
  /** Of the server's first process; another one after it had to be started again. */
  pid(): number
  /** Stops the server, also when it was taken over, and waits for its end. */
  stop(): Promise<void>
}

const DATABASE = 'bothy'
const SUPERVISE_EVERY_MS = 1_000

/**
 * Starts the server, or takes over the one that an earlier process left running; makes its data when there is none.
 * Faults with `conflict` when another process holds the folder, with `unavailable` when something is missing or the
 * server does not come up.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { dataDir, log, signal, fsync = true } = options
  await mkdir(dataDir, { recursive: true })
  const account = await serverAccount(await dataOwner(dataDir), signal)
  const home = await serverHome(dataDir, account)
  const unlock = await lockFolder(home, { waitMs: options.waitMs ?? 0, log, ...(signal && { signal }) })
  try {
    const programs = await installPrograms(home)
    const { pgdata, password } = await ensureCluster({
      home,
      account,
      programs,
      fsync,
      ...(signal && { signal }),
    })
    const short = createHash('sha256').update(home).digest('hex').slice(0, 16)
    const fallback = `/tmp/bothy-postgres-${short}`
    const socketDir = await socketFolder(home, account, fallback)

    const launch: Launch = { home, pgdata, socketDir, account, programs, fsync, log, signal }
    const url = (database: string) =>
      `postgresql://${DATABASE_USER}:${password}@localhost:${PORT}/${database}?host=${encodeURIComponent(socketDir)}&sslmode=disable`
    const postmaster = await runServer(launch, url('postgres'))
    const supervision = supervise(launch, postmaster)
    const stop = async () => {
      const last = await supervision.end()
      await stopPostmaster(last)
      if (socketDir === fallback) await rm(fallback, { recursive: true, force: true })
      await unlock()
      log.info({ postmaster: last.pid }, 'embedded PostgreSQL stopped')
    }
    let stopping: Promise<void> | undefined
    return { url: url(DATABASE), pid: () => supervision.current().pid, stop: () => (stopping ??= stop()) }
  } catch (error) {
    await unlock()
    throw error
  }
}

/** The server that runs already, or a new one; it answers, and has our database. */
async function runServer(launch: Launch, adminUrl: string): Promise<Postmaster> {
  const found = await takeOver(launch)
  if (found !== undefined) {
    try {
      await ensureDatabase(adminUrl)
      return found
    } catch (error) {
      // Killed together with its holder, it may have been found while it was dying.
      if (await isAlive(found)) {
        await stopPostmaster(found)
        throw error
      }
    }
  }
  const started = await launchServer(launch)
  try {
    await ensureDatabase(adminUrl)
    return started
  } catch (error) {
    await stopPostmaster(started)
    throw error
  }
}

/**
 * Starts the server again when it dies, e.g. for want of memory: its address stays the same, and whoever uses it
 * reconnects. `end` stops watching over it and answers the latest process.
 */
function supervise(launch: Launch, first: Postmaster): { current(): Postmaster; end(): Promise<Postmaster> } {
  const { log } = launch
  const ended = new AbortController()
  let current = first
  const watch = async () => {
    while (!ended.signal.aborted) {
      // Rejects only because of the end, which the loop sees.
      await systemClock.sleep(SUPERVISE_EVERY_MS, ended.signal).catch(() => undefined)
      if (ended.signal.aborted || (await isAlive(current))) continue
      log.error({ postmaster: current.pid }, 'embedded PostgreSQL has died, starting it again')
      try {
        current = await launchServer({ ...launch, signal: ended.signal })
      } catch (error) {
        log.error({ error: String(error) }, 'embedded PostgreSQL does not start')
      }
    }
  }
  const watching = watch()
  return {
    current: () => current,
    async end() {
      ended.abort()
      await watching
      return current
    },
  }
}

async function ensureDatabase(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  // What breaks between queries shows in the next query.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE])
    if (rowCount === 0) await client.query(`CREATE DATABASE ${pg.escapeIdentifier(DATABASE)}`)
  } catch (error) {
    throw sqlFault(error, 'open the embedded database')
  } finally {
    // A connection that never came up has nothing to end.
    await client.end().catch(() => undefined)
  }
}
