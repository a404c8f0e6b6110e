// Starting the server's process, or taking over the one that runs.
import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { type FileHandle, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../../lib/clock.ts'
import { Fault } from '../../../lib/fault.ts'
import type { Log } from '../../../lib/log.ts'
import type { Account } from './account.ts'
import { PROGRAM_ENV } from './cluster.ts'
import {
  findPostmaster,
  isAlive,
  type Postmaster,
  programOf,
  readPidFile,
  stopPostmaster,
  waitForStrays,
} from './postmaster.ts'
import type { Programs } from './programs.ts'

/** Names the socket; nothing listens on TCP. */
export const PORT = 5432
const POLL_MS = 10
const SAY_SO_EVERY_MS = 10_000
const LOG_LIMIT_BYTES = 8 << 20

export interface Launch {
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
export async function takeOver(launch: Launch): Promise<Postmaster | undefined> {
  const { pgdata, account, programs, socketDir, log } = launch
  const postmaster = await findPostmaster(pgdata, account.uid)
  if (postmaster === undefined) return undefined
  const found = await readPidFile(pgdata)
  if (
    (await programOf(postmaster)) === programs.postgres &&
    found?.socketDir === socketDir &&
    found.status !== 'stopping'
  ) {
    try {
      await untilReady(launch, postmaster)
    } catch (error) {
      if (await isAlive(postmaster)) throw error
      return undefined // It was dying when we found it.
    }
    log.info({ postmaster: postmaster.pid }, 'embedded PostgreSQL taken over')
    return postmaster
  }
  log.info({ postmaster: postmaster.pid }, 'embedded PostgreSQL of another version stopped')
  await stopPostmaster(postmaster)
  return undefined
}

export async function launchServer(launch: Launch): Promise<Postmaster> {
  const { home, pgdata, socketDir, account, programs, fsync, log } = launch
  await waitForStrays(pgdata, account.uid)
  await removeStaleLocks(pgdata, socketDir)
  const { output, logged } = await openLog(home, account)
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
  const postmaster = await startedAs(launch, child, logged)
  try {
    await untilReady(launch, postmaster)
  } catch (error) {
    await stopPostmaster(postmaster)
    throw error
  }
  log.info({ postmaster: postmaster.pid, home }, 'embedded PostgreSQL started')
  return postmaster
}

/** The server's log, to append to, and how much is in it already. */
async function openLog(home: string, account: Account): Promise<{ output: FileHandle; logged: number }> {
  const path = join(home, 'postgres.log')
  // None yet at the first start.
  const before = await stat(path).catch(() => undefined)
  // Root's folder does not let its account rename; the log then grows until the next start by root.
  if ((before?.size ?? 0) > LOG_LIMIT_BYTES) await rename(path, `${path}.1`).catch(ignoreForbidden)
  // Root may write into a user's folder here: no link in it leads root elsewhere.
  const output = await open(
    path,
    constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW,
    0o600,
  )
  // The account's, which is what we are ourselves when we start a server again after having given root away.
  if (process.getuid?.() === 0) await output.chown(account.uid, account.gid)
  return { output, logged: (await output.stat()).size }
}

function ignoreForbidden(error: NodeJS.ErrnoException): void {
  if (!['EACCES', 'EPERM'].includes(error.code ?? '')) throw error
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
