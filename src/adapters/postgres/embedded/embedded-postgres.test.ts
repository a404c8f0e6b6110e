import { spawn } from 'node:child_process'
import {
  chmod,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Change } from '../../../core/store.ts'
import { type Clock, systemClock } from '../../../lib/clock.ts'
import { silentLog } from '../../../lib/log.ts'
import { runProcess } from '../../../lib/run-process.ts'
import { openPostgres, type Postgres } from '../open-postgres.ts'
import { isRoot } from './account.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts'
import { SHARED } from './home.ts'
import { findServerProcesses } from './postmaster.ts'
import { unpackPrograms } from './programs.ts'

const HOLD = fileURLToPath(new URL('../../../../test/support/hold-postgres.ts', import.meta.url))

let folder: string
let dataDir: string
let running: EmbeddedPostgres[]
let opened: Postgres[]
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bothy-embedded-'))
  // Temporary folders are private; what root's server does about that has a test of its own.
  await chmod(folder, 0o755)
  dataDir = join(folder, 'data')
  running = []
  opened = []
})
afterEach(async () => {
  await Promise.all(opened.map(each => each.close()))
  await Promise.all(running.map(each => each.stop()))
  const link = await readlink(join(dataDir, 'postgres')).catch(() => undefined)
  if (link?.startsWith(SHARED)) await rm(link, { recursive: true })
  await rm(folder, { recursive: true })
})

async function start(fsync = true): Promise<EmbeddedPostgres> {
  const started = await startEmbeddedPostgres({ dataDir, log: silentLog, fsync })
  running.push(started)
  return started
}

async function open(url: string, clock: Clock = systemClock): Promise<Postgres> {
  const made = await openPostgres({ url, log: silentLog, clock })
  opened.push(made)
  return made
}

async function create({ store }: Postgres, name: string): Promise<void> {
  await store.create({ kind: 'Runner', metadata: { name, namespace: 'default' }, spec: { cordoned: false } })
}

async function names({ store }: Postgres): Promise<string[]> {
  return (await store.list('Runner')).items.map(each => each.metadata.name)
}

async function serverProcesses(): Promise<number[]> {
  const pgdata = join(dataDir, 'postgres', 'data')
  const { uid } = await stat(pgdata)
  return (await findServerProcesses(pgdata, uid)).map(each => each.pid)
}

/** A Node process that holds the server, with one object stored under `name`. */
async function hold(name: string): Promise<{ postmaster: number; kill(): Promise<void> }> {
  const child = spawn(process.execPath, [HOLD, dataDir, name], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = new Promise<void>(resolve => child.once('exit', () => resolve()))
  const postmaster = await new Promise<number>((resolve, reject) => {
    child.stdout.once('data', (data: Buffer) => resolve(Number(data.toString())))
    child.once('exit', code => reject(new Error(`hold-postgres ended with ${code}`)))
  })
  return {
    postmaster,
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

describe('the embedded server', () => {
  test('keeps its data over a stop, leaves no process, shows its password to nobody', async () => {
    const first = await start()
    const store = await open(first.url)
    await create(store, 'kept')
    const { password } = new URL(first.url)
    expect(password.length).toBeGreaterThan(40)
    expect((await stat(join(dataDir, 'postgres', 'password'))).mode & 0o777).toBe(0o600)
    const commands = await Promise.all(
      (await serverProcesses()).map(pid => readFile(`/proc/${pid}/cmdline`, 'utf8')),
    )
    expect(commands.length).toBeGreaterThan(3)
    expect(commands.filter(each => each.includes(password))).toEqual([])
    await store.close()
    await first.stop()
    expect(await serverProcesses()).toEqual([])

    const second = await start()
    expect(await names(await open(second.url))).toEqual(['kept'])
  })

  test('survives kill -9 of its holder, and the next start takes it over', async () => {
    const holder = await hold('before-the-crash')
    await holder.kill()
    expect(await serverProcesses()).toContain(holder.postmaster)

    const next = await start()
    expect(next.pid()).toBe(holder.postmaster)
    const store = await open(next.url)
    expect(await names(store)).toEqual(['before-the-crash'])
    await store.close()
    await next.stop()
    expect(await serverProcesses()).toEqual([])
  })

  test('survives kill -9 of holder and server at once', async () => {
    const holder = await hold('acknowledged')
    process.kill(holder.postmaster, 'SIGKILL')
    await holder.kill()
    const next = await start()
    expect(next.pid()).not.toBe(holder.postmaster)
    expect(await names(await open(next.url))).toEqual(['acknowledged'])
  })

  test('is started again when it dies', async () => {
    const server = await start()
    const db = await open(server.url)
    await create(db, 'before')
    const died = server.pid()
    process.kill(died, 'SIGKILL')
    await expect.poll(() => server.pid(), { timeout: 30_000 }).not.toBe(died)
    expect(await names(db)).toEqual(['before'])
    await db.close()
    await server.stop()
    expect(await serverProcesses()).toEqual([])
  })

  test('is held by one process at a time', async () => {
    const holder = await hold('holder')
    await expect(start()).rejects.toMatchObject({ reason: 'conflict', code: 'data-in-use' })
    expect(await serverProcesses()).toContain(holder.postmaster)
    await holder.kill()
    await start()
  })

  test('starts once when two start at the same time', async () => {
    const both = await Promise.allSettled([start(false), start(false)])
    expect(both.map(each => each.status).sort()).toEqual(['fulfilled', 'rejected'])
  })

  test('is not fooled by the number of another process in its lock file', async () => {
    const first = await start(false)
    await first.stop()
    const lock = join(dataDir, 'postgres', 'data', 'postmaster.pid')
    await writeFile(
      lock,
      `${process.pid}\n${join(dataDir, 'postgres', 'data')}\n1\n5432\n/nowhere\n\n\nready   \n`,
    )
    const { uid, gid } = await stat(dirname(lock))
    await chmod(lock, 0o600)
    if (isRoot()) await runProcess(['chown', `${uid}:${gid}`, lock])
    const second = await start(false)
    expect(second.pid()).not.toBe(process.pid)
  })

  test('makes its data in one step: what an interrupted creation left is no data', async () => {
    await mkdir(join(dataDir, 'postgres', 'setup-abcdef', 'data'), { recursive: true })
    await writeFile(join(dataDir, 'postgres', 'setup-abcdef', 'data', 'PG_VERSION'), '18\n')
    if (isRoot()) await chmod(join(dataDir, 'postgres'), 0o711)
    await start(false)
    expect((await readdir(join(dataDir, 'postgres'))).filter(name => name.startsWith('setup-'))).toEqual([])
  })

  test('refuses data of another major version', async () => {
    const first = await start(false)
    await first.stop()
    await writeFile(join(dataDir, 'postgres', 'data', 'PG_VERSION'), '17\n')
    await expect(start(false)).rejects.toMatchObject({ reason: 'unsupported', code: 'database-other-major' })
  })

  test('has its socket elsewhere when the path is too long for one', async () => {
    dataDir = join(folder, 'long-'.repeat(30))
    const { url, stop } = await start(false)
    const socketDir = new URL(url).searchParams.get('host')!
    expect(await names(await open(url))).toEqual([])
    await opened.pop()!.close()
    await stop()
    await expect(lstat(socketDir)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  test('can be interrupted while it starts, and leaves nothing running', async () => {
    const signal = AbortSignal.abort()
    await expect(startEmbeddedPostgres({ dataDir, log: silentLog, signal })).rejects.toMatchObject({
      reason: 'cancelled',
    })
    await start(false)
  })

  test.skipIf(!isRoot())('root: lives below a 0700 folder, which stays 0700', async () => {
    dataDir = join(folder, 'private', 'data')
    await mkdir(dataDir, { recursive: true })
    await chmod(join(folder, 'private'), 0o700)
    const first = await start(false)
    await create(await open(first.url), 'kept')
    expect((await stat(join(folder, 'private'))).mode & 0o777).toBe(0o700)
    const home = await readlink(join(dataDir, 'postgres'))
    expect(home.startsWith(`${SHARED}/databases/`)).toBe(true)
    await opened.pop()!.close()
    await first.stop()

    // Where it is once, it stays.
    await chmod(join(folder, 'private'), 0o755)
    const second = await start(false)
    expect(await names(await open(second.url))).toEqual(['kept'])
  })

  test.skipIf(!isRoot())(
    'root: the server is not root, and a private DATA is opened to its group only',
    async () => {
      await mkdir(dataDir, { mode: 0o700 })
      await chmod(folder, 0o755)
      const { pid } = await start(false)
      const { uid, gid } = await stat(`/proc/${pid()}`)
      expect(uid).not.toBe(0)
      expect(await stat(dataDir)).toMatchObject({ uid: 0, gid })
      expect((await stat(dataDir)).mode & 0o777).toBe(0o710)
    },
  )
})

test('programs are unpacked once, links and all, from a package whose install script did not run', async () => {
  const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/linux-${arch()}`)
  const native = join(folder, 'native')
  const filter = async (path: string) => !(await lstat(path)).isSymbolicLink()
  await cp(join(dirname(dirname(entry)), 'native'), native, { recursive: true, filter })
  const source = { version: '18.4.0', native }
  const target = join(folder, 'programs')
  const [programs] = await Promise.all([unpackPrograms(source, target), unpackPrograms(source, target)])
  expect((await readdir(folder)).sort()).toEqual(['native', 'programs'])
  const { code, stdout } = await runProcess([programs.postgres, '--version'])
  expect([code, stdout]).toEqual([0, expect.stringContaining('PostgreSQL) 18.')])
})

describe('a database that goes away', () => {
  test('makes queries and, after a while, watches fail as unavailable; when it is back, so are they', async () => {
    // Fifty times as fast, so that the second failing read is beyond all patience.
    const clock: Clock = { now: () => systemClock.now() * 50, sleep: systemClock.sleep }
    const server = await start(false)
    const db = await open(server.url, clock)
    const { at } = await db.store.list('Runner')
    const signal = new AbortController().signal
    const changes = db.store.watch('Runner', { from: at }, signal)[Symbol.asyncIterator]()
    const first = changes.next()
    await create(db, 'one')
    const seen = (await first).value as Change<'Runner'>
    const broken = changes.next()
    broken.catch(() => undefined)
    await server.stop()

    const key = { kind: 'Runner', namespace: 'default', name: 'one' } as const
    const unavailable = { reason: 'unavailable', code: 'database-unreachable' }
    await expect(db.store.find(key)).rejects.toMatchObject(unavailable)
    await expect(db.store.list('Runner')).rejects.toMatchObject(unavailable)
    await expect(create(db, 'two')).rejects.toMatchObject(unavailable)
    await expect(db.store.remove(key)).rejects.toMatchObject(unavailable)
    await expect(db.leases.renew('x', 1)).rejects.toMatchObject(unavailable)
    await expect(db.credentials.findUser('x')).rejects.toMatchObject(unavailable)
    await expect(broken).rejects.toMatchObject({ reason: 'unavailable' })

    await start(false)
    expect(await names(db)).toEqual(['one'])
    const again = db.store.watch('Runner', { from: seen.at }, signal)[Symbol.asyncIterator]()
    const second = again.next()
    await create(db, 'three')
    expect((await second).value).toMatchObject({ type: 'put', object: { metadata: { name: 'three' } } })
    const ended = expect(again.next()).rejects.toMatchObject({ reason: 'unavailable', code: 'store-closed' })
    await db.close()
    await ended
  })
})
