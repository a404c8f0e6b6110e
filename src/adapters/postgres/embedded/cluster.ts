import { randomBytes } from 'node:crypto'
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { failpoint } from '../../../lib/failpoint.ts'
import { Fault } from '../../../lib/fault.ts'
import { mustRun } from '../../../lib/run-process.ts'
import type { Account } from './account.ts'
import type { Programs } from './programs.ts'

export const DATABASE_USER = 'bothy'

/** What the server's programs get to see of our environment: nothing. */
export const PROGRAM_ENV = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

export interface ClusterOptions {
  readonly home: string
  readonly account: Account
  readonly programs: Programs
  readonly fsync: boolean
  readonly signal?: AbortSignal
}

/**
 * The data directory in `home`, made when there is none, and the password of its user. A creation that is interrupted
 * leaves no data directory. Faults when one exists that this version cannot use or whose password is lost.
 */
export async function ensureCluster(options: ClusterOptions): Promise<{ pgdata: string; password: string }> {
  const { home, programs } = options
  const pgdata = join(home, 'data')
  const major = await readText(join(pgdata, 'PG_VERSION'))
  const password = await readText(join(home, 'password'))
  if (major === undefined) return { pgdata, password: await createCluster(options, pgdata) }
  if (major !== programs.major) {
    const message = `start PostgreSQL: ${pgdata} was made by PostgreSQL ${major}, this is ${programs.major}`
    const hint = `start the bothy version that made it and move the data over with pg_dump`
    throw new Fault('unsupported', 'database-other-major', message, { hint })
  }
  if (password !== undefined && password !== '') return { pgdata, password }
  const message = `start PostgreSQL: the password file ${join(home, 'password')} is missing`
  throw new Fault('unavailable', 'database-password-missing', message, { hint: 'restore it from a backup' })
}

async function createCluster(options: ClusterOptions, pgdata: string): Promise<string> {
  const { home, account, programs, fsync, signal } = options
  await removeDrafts(home)
  const draft = await mkdtemp(join(home, 'setup-'))
  const password = randomBytes(32).toString('base64url')
  const passwordFile = join(draft, 'password')
  await writeFile(passwordFile, password, { mode: 0o600 })
  await chown(passwordFile, account.uid, account.gid)
  await mkdir(join(draft, 'data'), { mode: 0o700 })
  await chown(join(draft, 'data'), account.uid, account.gid)
  await chmod(draft, 0o711)
  await mustRun(
    [
      programs.initdb,
      `--pgdata=${join(draft, 'data')}`,
      `--username=${DATABASE_USER}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--no-instructions',
      ...(fsync ? [] : ['--no-sync']),
    ],
    {
      uid: account.uid,
      gid: account.gid,
      cwd: draft,
      env: PROGRAM_ENV,
      ...(signal === undefined ? {} : { signal }),
    },
  )
  // The password first: data without it would be out of reach.
  await writeFile(join(home, 'password'), password, { mode: 0o600 })
  failpoint('server.cluster-made')
  await rename(join(draft, 'data'), pgdata)
  await rm(draft, { recursive: true })
  return password
}

async function removeDrafts(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    if (name.startsWith('setup-')) await rm(join(home, name), { recursive: true, force: true })
  }
}

/** Where the server's socket goes: `home/run`, or a folder in /tmp when that path is too long for a socket's name. */
export async function socketFolder(home: string, account: Account, fallback: string): Promise<string> {
  // sun_path holds 107 characters and a NUL (unix(7)).
  const folder = join(home, 'run')
  const chosen = Buffer.byteLength(join(folder, '.s.PGSQL.5432.lock')) <= 107 ? folder : fallback
  await mkdir(chosen, { mode: 0o700 }).catch(ignoreExisting)
  if (process.getuid?.() === 0 && (await stat(chosen)).uid === 0)
    await chown(chosen, account.uid, account.gid)
  const { uid, mode } = await stat(chosen)
  if (uid === account.uid && (mode & 0o077) === 0) return chosen
  const message = `start PostgreSQL: ${chosen} belongs to somebody else or is open to others`
  throw new Fault('unavailable', 'socket-folder-untrusted', message, { hint: 'remove that folder' })
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'utf8')).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}
