import { readFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { Fault } from '../../../lib/fault.ts'
import { mustRun } from '../../../lib/run-process.ts'

/** Who PostgreSQL runs as. It refuses root, and a uid that the system has no name for. */
export interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
}

const OWN_NAME = 'bothy'
// Debian's package makes it; where it exists, it is what people expect to see in `ps`.
const PREFERRED = ['postgres', OWN_NAME]

export const isRoot = (): boolean => process.getuid?.() === 0

/**
 * For an ordinary user: that user. For root: the owner of the data that exists already, else `postgres`, else the
 * system user `bothy`, which is created when it is missing.
 */
export async function serverAccount(dataOwner: number | undefined, signal?: AbortSignal): Promise<Account> {
  if (!isRoot()) return ownAccount(dataOwner)
  const known = await readAccounts()
  const owner = known.find(({ uid }) => uid === dataOwner && uid !== 0)
  if (owner !== undefined) return owner
  if (dataOwner !== undefined) {
    const message = `start PostgreSQL: its data belongs to uid ${dataOwner}, which is no usable account here`
    const hint = `give the folder to one of ${PREFERRED.join(', ')} with chown -R`
    throw new Fault('unavailable', 'data-owner-unknown', message, { hint })
  }
  return preferred(known) ?? createAccount(signal)
}

function ownAccount(dataOwner: number | undefined): Account {
  if (dataOwner !== undefined && dataOwner !== process.getuid?.()) {
    const message = `start PostgreSQL: its data belongs to uid ${dataOwner}, not to you`
    const hint = 'run as root if root made it, or choose another data folder'
    throw new Fault('unavailable', 'data-foreign', message, { hint })
  }
  try {
    const { username, uid, gid } = userInfo()
    return { name: username, uid, gid }
  } catch (cause) {
    const message = `start PostgreSQL: uid ${process.getuid?.()} has no entry in the password database`
    const hint = 'add the user to /etc/passwd, or set BOTHY_DATABASE_URL to a PostgreSQL that runs elsewhere'
    throw new Fault('unavailable', 'account-missing', message, { cause, hint })
  }
}

async function createAccount(signal: AbortSignal | undefined): Promise<Account> {
  const argv = [
    'useradd',
    '--system',
    '--user-group',
    '--no-create-home',
    '--home-dir',
    '/nonexistent',
  ] as const
  await mustRun([...argv, '--shell', '/usr/sbin/nologin', OWN_NAME], signal === undefined ? {} : { signal })
  const made = preferred(await readAccounts())
  if (made !== undefined) return made
  throw new Fault(
    'internal',
    'account-missing',
    `create system user ${OWN_NAME}: useradd left no entry in /etc/passwd`,
  )
}

function preferred(known: readonly Account[]): Account | undefined {
  return PREFERRED.map(name => known.find(each => each.name === name)).find(each => each !== undefined)
}

// System users are local; a directory service has none for us.
async function readAccounts(): Promise<readonly Account[]> {
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n')
  return lines
    .map(line => line.split(':'))
    .filter(fields => fields.length >= 7)
    .map(([name, , uid, gid]) => ({ name: name!, uid: Number(uid), gid: Number(gid) }))
}
