// A real PostgreSQL of our own, for installations without one: its programs come with the npm packages, and it runs
// beside this process, not in it. It outlives a crash of this process, and the next start takes it over.
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { systemClock } from '../../../lib/clock.ts'
import { Fault } from '../../../lib/fault.ts'
import type { Log } from '../../../lib/log.ts'
import { sqlFault } from '../sql-faults.ts'
import { type Account, serverAccount } from './account.ts'
import { DATABASE_USER, ensureCluster, PROGRAM_ENV, socketFolder } from './cluster.ts'
import { lockFolder } from './folder-lock.ts'
import { dataOwner, serverHome } from './home.ts'
import {
  findPostmaster,
  isAlive,
  type Postmaster,
  programOf,
  readPidFile,
  stopPostmaster,
  waitForStrays,
} from './postmaster.ts'
import { installPrograms, type Programs } from './programs.ts'

export interface EmbeddedPostgresOptions {
  /** Bothy's data folder; the database lives in `postgres` below it (see home.ts for root's exception). */
  readonly dataDir: string
  readonly log: Log
  /** Aborts the start; a server that runs is stopped by `stop` only. */
  readonly signal?: AbortSignal
  /** False: data does not survive a crash of the machine. For tests. */
  readonly fsync?: boolean
}

export interface EmbeddedPostgres {
  /** Holds the password: not for logs and not for argv. */
  readonly url: string
  readonly pid: number
  /** Stops the server, also when it was taken over, and waits for its end. */
  stop(): Promise<void>
}

const DATABASE = 'bothy'
const PORT = 5432
const POLL_MS = 10
const SAY_SO_EVERY_MS = 10_000
const LOG_LIMIT_BYTES = 8 << 20

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
  const unlock = await lockFolder(home)
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
    const postmaster = (await takeOver(launch)) ?? (await start(launch))
    const url = (database: string) =>
      `postgresql://${DATABASE_USER}:${password}@localhost:${PORT}/${database}?host=${encodeURIComponent(socketDir)}&sslmode=disable`
    try {
      await ensureDatabase(url('postgres'))
    } catch (error) {
      await stopPostmaster(postmaster)
      throw error
    }
    const stop = async () => {
      await stopPostmaster(postmaster)
      if (socketDir === fallback) await rm(fallback, { recursive: true, force: true })
      await unlock()
      log.info({ postmaster: postmaster.pid }, 'embedded PostgreSQL stopped')
    }
    let stopping: Promise<void> | undefined
    return { url: url(DATABASE), pid: postmaster.pid, stop: () => (stopping ??= stop()) }
  } catch (error) {
    await unlock()
    throw error
  }
}

interface Launch {
  readonly home: string
  readonly pgdata: string
  readonly socketDir: string
  readonly account: Account
  readonly programs: Programs
  readonly fsync: boolean
  readonly log: Log
  readonly signal: AbortSignal | undefined
}

/** The server that runs already, if it is the one that we would start; another version's is stopped. */
async function takeOver(launch: Launch): Promise<Postmaster | undefined> {
  const { pgdata, account, programs, socketDir, log } = launch
  const postmaster = await findPostmaster(pgdata, account.uid)
  if (postmaster === undefined) return undefined
  const found = await readPidFile(pgdata)
  if (
    (await programOf(postmaster)) === programs.postgres &&
    found?.socketDir === socketDir &&
    found.status !== 'stopping'
  ) {
    await untilReady(launch, postmaster)
    log.info({ postmaster: postmaster.pid }, 'embedded PostgreSQL taken over')
    return postmaster
  }
  log.info({ postmaster: postmaster.pid }, 'embedded PostgreSQL of another version stopped')
  await stopPostmaster(postmaster)
  return undefined
}

async function start(launch: Launch): Promise<Postmaster> {
  const { home, pgdata, socketDir, account, programs, fsync, log } = launch
  await waitForStrays(pgdata, account.uid)
  await removeStaleLocks(pgdata, socketDir)
  const logFile = join(home, 'postgres.log')
  const size = (await stat(logFile).catch(() => undefined))?.size ?? 0
  if (size > LOG_LIMIT_BYTES) await rename(logFile, `${logFile}.1`)
  const output = await open(logFile, 'a', 0o600)
  let child: ChildProcess
  try {
    child = spawn(programs.postgres, ['-D', pgdata, ...serverFlags(socketDir, fsync)], {
      cwd: pgdata,
      env: PROGRAM_ENV,
      uid: account.uid,
      gid: account.gid,
      // A session of its own: Ctrl-C in the terminal is for us, and we stop it after its clients.
      detached: true,
      stdio: ['ignore', output.fd, output.fd],
    })
    await new Promise((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', reject)
    })
  } catch (cause) {
    const message = `start PostgreSQL: ${programs.postgres} cannot be run`
    throw new Fault('unavailable', 'postgres-not-runnable', message, { cause })
  } finally {
    await output.close()
  }
  child.unref()
  const postmaster = await startedAs(launch, child, size)
  try {
    await untilReady(launch, postmaster)
  } catch (error) {
    await stopPostmaster(postmaster)
    throw error
  }
  log.info({ postmaster: postmaster.pid, home }, 'embedded PostgreSQL started')
  return postmaster
}

/**
 * PostgreSQL refuses to start when the number in a lock file is that of any process of its user: a zombie, or after a
 * reboot an editor. We know better: nothing works in this data directory, and nobody else may start (we hold its lock).
 */
async function removeStaleLocks(pgdata: string, socketDir: string): Promise<void> {
  const socket = join(socketDir, `.s.PGSQL.${PORT}`)
  for (const path of [join(pgdata, 'postmaster.pid'), `${socket}.lock`, socket])
    await rm(path, { force: true })
}

/** The running server as the kernel knows it; faults with the server's own words when it ended instead. */
async function startedAs(
  { pgdata, account, home }: Launch,
  child: ChildProcess,
  logged: number,
): Promise<Postmaster> {
  while (child.exitCode === null && child.signalCode === null) {
    const postmaster = await findPostmaster(pgdata, account.uid)
    if (postmaster?.pid === child.pid) return postmaster!
    await systemClock.sleep(POLL_MS)
  }
  const text = await readFile(join(home, 'postgres.log'), 'utf8')
  const said = text.slice(logged).trim().split('\n').slice(-5).join('; ')
  const message = `start PostgreSQL: it ended with ${child.exitCode ?? child.signalCode}: ${said}`
  throw new Fault('unavailable', 'postgres-not-started', message, {
    hint: `see ${join(home, 'postgres.log')}`,
  })
}

/** No total timeout: recovery after a crash takes as long as it takes, and says so in the log. */
async function untilReady({ pgdata, signal, log }: Launch, postmaster: Postmaster): Promise<void> {
  const since = systemClock.now()
  let said = since
  while ((await readPidFile(pgdata))?.status !== 'ready') {
    if (!(await isAlive(postmaster))) {
      throw new Fault('unavailable', 'postgres-not-started', 'start PostgreSQL: it ended before it was ready')
    }
    const now = systemClock.now()
    if (now - said > SAY_SO_EVERY_MS) {
      log.info({ waitedMs: now - since }, 'embedded PostgreSQL is recovering')
      said = now
    }
    await systemClock.sleep(POLL_MS, signal)
  }
}

function serverFlags(socketDir: string, fsync: boolean): string[] {
  const settings: Record<string, string | number> = {
    port: PORT,
    listen_addresses: '',
    unix_socket_directories: socketDir,
    max_connections: 100,
    // Some thousand small objects are what it holds; the kernel's page cache is behind it.
    shared_buffers: '32MB',
    max_wal_size: '256MB',
    // Reads hit the cache; worker processes for reading ahead would only cost memory.
    io_method: 'sync',
    max_parallel_workers_per_gather: 0,
    jit: 'off',
    huge_pages: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_checkpoints: 'off',
    ...(fsync ? {} : { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off' }),
  }
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
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
