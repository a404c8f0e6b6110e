// Where the embedded server keeps its things. `DATA/postgres` holds
//
//   data/          PostgreSQL's data directory, 0700, the server account's
//   run/           its Unix socket, 0700, the server account's
//   password       of the database user, 0600, ours
//   postgres.log   what the server says, 0600, the server account's
//
// An ordinary user's server runs as that user and reaches whatever the user reaches. Root's server runs as another
// account, which must be able to walk to the folder. So for root:
//
//   1. what exists at DATA/postgres stays where it is;
//   2. if the account can reach DATA, the folder is DATA/postgres. When DATA itself is the only thing in the way and
//      belongs to root's group, its group becomes the account's and may pass through (not read);
//   3. else (DATA lies below a 0700 folder such as root's home, whose mode is none of our business) the folder is made
//      below /var/lib/bothy/databases, and DATA/postgres is a link to it.
import { chmod, chown, lstat, mkdir, readlink, realpath, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Fault } from '../../../lib/fault.ts'
import { randomSuffix } from '../../../lib/ids.ts'
import { type Account, isRoot } from './account.ts'

export const SHARED = '/var/lib/bothy'

/** The folder, made when missing, and ready for the account. */
export async function serverHome(dataDir: string, account: Account): Promise<string> {
  const data = await realpath(dataDir)
  const link = join(data, 'postgres')
  if (!isRoot()) {
    await mkdir(link, { recursive: true, mode: 0o700 })
    return realpath(link)
  }
  const home = (await existing(link, account)) ?? (await place(data, account))
  if (await canReach(home, account)) return home
  if (dirname(home) === data && (await letPass(data, account)) && (await canReach(home, account))) return home
  const message = `start PostgreSQL: account ${account.name} cannot reach ${home}`
  const hint = `make the folders above it passable (chmod o+x), or move ${home} to such a place and leave a link`
  throw new Fault('unavailable', 'data-unreachable', message, { hint })
}

/** Who owns the database that `dataDir` has already; undefined when there is none. */
export async function dataOwner(dataDir: string): Promise<number | undefined> {
  const found = await stat(join(dataDir, 'postgres', 'data')).catch(ignoreMissing)
  return found?.uid
}

async function existing(link: string, account: Account): Promise<string | undefined> {
  const found = await lstat(link).catch(ignoreMissing)
  if (found === undefined) return undefined
  // Root follows a link that root made, and nobody else's.
  const target = found.isSymbolicLink() && found.uid === 0 ? await readlink(link) : link
  const folder = await lstat(target).catch(ignoreMissing)
  // The account's own: its user ran this without root before.
  if (folder?.isDirectory() && (folder.uid === 0 || folder.uid === account.uid)) return target
  const message = `start PostgreSQL: ${link} is not a folder of root's or ${account.name}'s`
  throw new Fault('unavailable', 'data-untrusted', message, {
    hint: 'put the database back there, or remove the link',
  })
}

async function place(data: string, account: Account): Promise<string> {
  if ((await canReach(data, account)) || (await letPass(data, account))) {
    const home = join(data, 'postgres')
    await mkdir(home)
    await chmod(home, 0o711)
    return home
  }
  // A random name: a new DATA at the path of one that was deleted must not find the old database.
  const home = join(SHARED, 'databases', randomSuffix(10))
  await makeShared(dirname(home))
  await mkdir(home)
  await chmod(home, 0o711)
  await writeFile(join(home, 'origin'), `${data}\n`)
  await symlink(home, join(data, 'postgres'))
  return home
}

/** Makes a folder at or below /var/lib/bothy, passable for everybody whatever the umask. */
export async function makeShared(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (let at = folder; at.startsWith(SHARED); at = dirname(at)) await chmod(at, 0o755)
}

/** Opens `data` to the account's group, if doing so takes nothing from anybody. True when it is passable now. */
async function letPass(data: string, account: Account): Promise<boolean> {
  const { uid, gid, mode } = await stat(data)
  if (uid !== 0 || (gid !== 0 && gid !== account.gid) || !(await canReach(dirname(data), account)))
    return false
  await chown(data, 0, account.gid)
  // Pass, not read: what root's group could read, the account's group must not.
  await chmod(data, (mode & 0o7707) | 0o010)
  return true
}

/** Whether the account may pass through every folder of the path, by their modes. */
export async function canReach(path: string, account: Account): Promise<boolean> {
  for (let at = await realpath(path); ; at = dirname(at)) {
    const { uid, gid, mode } = await stat(at)
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001
    if ((mode & bit) === 0) return false
    if (at === '/') return true
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
