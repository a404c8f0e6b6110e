// Runs once around a `vitest` run of tests that share the host: takes away what killed runs left there, and makes room for
// images. Tests that leave the host alone do without, and can run beside.
import { existsSync } from 'node:fs'
import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SHARED } from '../../src/adapters/postgres/embedded/home.ts'
import { findServerProcesses, isAlive } from '../../src/adapters/postgres/embedded/postmaster.ts'
import { prepareCachePool } from './cache-pool.ts'
import { PREFIX } from './setup-postgres.ts'
import { sweepStacks } from './sweep-stacks.ts'

let isReady = false

export default async function setup(): Promise<() => Promise<void>> {
  // Vitest calls this once per project, in one process; the first call does it for all.
  if (isReady) return async () => undefined
  isReady = true
  await sweep()
  return prepareCachePool()
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
