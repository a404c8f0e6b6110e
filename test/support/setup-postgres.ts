// Runs once around a whole `vitest` run. It offers one throw-away PostgreSQL to all test files, started when the first
// of them asks, so that a run that needs none pays nothing.
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../src/adapters/postgres/embedded/embedded-postgres.ts'
import { startTimeOf } from '../../src/adapters/postgres/embedded/postmaster.ts'
import { migrate } from '../../src/adapters/postgres/migrate.ts'
import { silentLog } from '../../src/lib/log.ts'

/** Names the socket at which `testDatabase` asks for the server's URL. Workers inherit it. */
export const BROKER = 'BOTHY_TEST_POSTGRES'

/** Of the names of folders, before the number and the start of the process that they belong to. */
export const PREFIX = 'bothy-test-postgres'

export default async function setup(): Promise<() => Promise<void>> {
  // Vitest calls this once per project, in one process; the first call does it for all.
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

function close(server: Server): Promise<void> {
  return new Promise(resolve => server.close(() => resolve()))
}
