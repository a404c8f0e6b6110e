// Runs once around a whole `vitest` run. It offers one throw-away PostgreSQL to all test files, started when the first
// of them asks, so that a run that needs none pays nothing.
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../src/adapters/postgres/embedded/embedded-postgres.ts'
import { SHARED } from '../../src/adapters/postgres/embedded/home.ts'
import { findServerProcesses, isAlive, startTimeOf } from '../../src/adapters/postgres/embedded/postmaster.ts'
import { migrate } from '../../src/adapters/postgres/migrate.ts'
import { silentLog } from '../../src/lib/log.ts'
import { prepareCachePool } from './cache-pool.ts'
import { sweepStacks } from './sweep-stacks.ts'

/** Names the socket at which `testDatabase` asks for the server's URL. Workers inherit it. */
export const BROKER = 'BOTHY_TEST_POSTGRES'

const PREFIX = 'bothy-test-postgres'

export default async function setup({ name }: TestProject): Promise<() => Promise<void>> {
  // The suite that runs beside another in a process of its own leaves the host to that one.
  const giveCacheBack = name === 'beside' ? async () => undefined : await prepareHost()
  const closeBroker = await openBroker()
  return async () => {
    await closeBroker()
    await giveCacheBack()
  }
}

let host: Promise<() => Promise<void>> | undefined

/** Vitest calls the setup once per project, in one process; the first call does it for all. */
function prepareHost(): Promise<() => Promise<void>> {
  if (host !== undefined) return Promise.resolve(async () => undefined)
  host = sweep().then(prepareCachePool)
  return host
}

async function openBroker(): Promise<() => Promise<void>> {
  if (process.env[BROKER] !== undefined) return async () => undefined
  const folder = await mkdtemp(join(tmpdir(), `${PREFIX}-${process.pid}-${await startTimeOf(process.pid)}-`))
  let started: Promise<EmbeddedPostgres> | undefined
  const server = createServer(socket => {
    // A worker that was killed does not matter to the others.
    socket.on('error', () => undefined)
    started ??= startServer(folder)
    started.then(
      ({ url }) => socket.end(JSON.stringify({ url })),
      (error: unknown) => socket.end(JSON.stringify({ error: String(error) })),
    )
  })
  const path = join(folder, 'broker')
  await new Promise<void>(resolve => server.listen(path, resolve))
  process.env[BROKER] = path
  return async () => {
    delete process.env[BROKER]
    await close(server)
    // One that failed to start was reported to whoever asked.
    const postgres = await started?.catch(() => undefined)
    await postgres?.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

async function startServer(dataDir: string): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({ dataDir, log: silentLog, fsync: false })
  // The server's own database becomes the template: nobody connects to it after this.
  await migrate({ url: postgres.url, log: silentLog })
  return postgres
}

/** Removes what runs that were killed left behind. */
async function sweep(): Promise<void> {
  await sweepStacks()
  await sweepDatabases()
  for (const name of await readdir(tmpdir())) {
    const [, pid, startTime] = new RegExp(`^${PREFIX}-([0-9]+)-([0-9]+)-`).exec(name) ?? []
    if (pid === undefined || startTime === undefined) continue
    if (await isAlive({ pid: Number(pid), startTime })) continue
    await destroy(join(tmpdir(), name), 'postgres/data')
  }
}

/** Root's databases of data folders that were private (see home.ts), were in the temporary folder, and are gone. */
async function sweepDatabases(): Promise<void> {
  const databases = join(SHARED, 'databases')
  for (const name of await readdir(databases).catch(() => [])) {
    const origin = await readFile(join(databases, name, 'origin'), 'utf8').catch(() => '')
    const isTemporary = origin.startsWith(`${tmpdir()}/`)
    if (isTemporary && !existsSync(origin.trimEnd())) await destroy(join(databases, name), 'data')
  }
}

async function destroy(folder: string, data: string): Promise<void> {
  const pgdata = join(folder, data)
  const owner = await stat(pgdata).catch(() => undefined)
  if (owner !== undefined) {
    // Its data is thrown away: no need to be kind.
    for (const each of await findServerProcesses(pgdata, owner.uid)) process.kill(each.pid, 'SIGKILL')
  }
  // Another user's leftovers are that user's to remove.
  await rm(folder, { recursive: true, force: true }).catch(() => undefined)
}

function close(server: Server): Promise<void> {
  return new Promise(resolve => server.close(() => resolve()))
}
