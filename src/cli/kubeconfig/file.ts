// Kubeconfigs on disk: where kubectl looks for them, and how one is changed beside kubectl and others.
import { mkdir, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Fault } from '../../lib/fault.ts'
import { randomSuffix } from '../../lib/ids.ts'

type Env = Readonly<Record<string, string | undefined>>

/** Those that kubectl reads, the first one first, which is also the one that it writes. */
export function kubeconfigPaths(env: Env): readonly string[] {
  const named = (env.KUBECONFIG ?? '').split(':').filter(path => path !== '')
  if (named.length > 0) return named
  if (env.HOME !== undefined && env.HOME !== '') return [join(env.HOME, '.kube', 'config')]
  throw new Fault('unavailable', 'no-home', 'find the kubeconfig: neither KUBECONFIG nor HOME is set', {
    hint: 'set one of them, or name the file',
  })
}

/** Undefined when there is none. */
export async function readKubeconfig(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw new Fault(
      'unavailable',
      'kubeconfig-unreadable',
      `read kubeconfig ${path}: ${cause.code ?? cause.message}`,
      { cause },
    )
  })
}

/**
 * Replaces the text of a kubeconfig by what `change` makes of it (of '' when there is none), in one step and under the
 * lock that kubectl takes. A new file is 0600, an old one keeps its mode; a link stays one. Nothing is written when
 * nothing changes, nor as root into what is somebody else's.
 */
export async function changeKubeconfig(
  path: string,
  { isRoot }: { readonly isRoot: boolean },
  change: (text: string) => string,
): Promise<void> {
  const target = await realpath(path).catch(() => path)
  if (isRoot) await refuseForeign(target)
  await mkdir(dirname(path), { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw notWritten(path, cause)
  })
  // Beside the link, if it is one: that is where kubectl looks.
  const unlock = await lock(path)
  try {
    const before = await readKubeconfig(target)
    const after = change(before ?? '')
    if (after !== before) await replace(path, target, after)
  } finally {
    await unlock()
  }
}

/** Root's file in a user's home is one that its owner cannot read, and a link there could lead anywhere. */
async function refuseForeign(path: string): Promise<void> {
  for (const each of [path, dirname(path)]) {
    const owner = await nearestOwner(each)
    if (owner === 0) continue
    throw new Fault(
      'forbidden',
      'kubeconfig-foreign',
      `write kubeconfig ${path} as root: that place belongs to user ${owner}`,
      { hint: "run it as that user, without sudo: 'sudo bothy up' has made the context for both of you" },
    )
  }
}

async function nearestOwner(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined) // Not there yet: whose the folder is counts.
  if (found !== undefined) return found.uid
  return dirname(path) === path ? 0 : nearestOwner(dirname(path))
}

async function lock(path: string): Promise<() => Promise<void>> {
  const file = `${path}.lock`
  try {
    await (await open(file, 'wx', 0o600)).close()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw notWritten(path, cause)
    throw new Fault(
      'conflict',
      'kubeconfig-locked',
      `write kubeconfig ${path}: somebody else is changing it`,
      {
        cause,
        hint: `try again; if nobody is, remove ${file}`,
      },
    )
  }
  return () => rm(file, { force: true })
}

async function replace(path: string, target: string, text: string): Promise<void> {
  const draft = `${target}.${randomSuffix(8)}`
  const before = await stat(target).catch(() => undefined) // Not there yet.
  const mode = before?.mode ?? 0o600
  try {
    const file = await open(draft, 'wx', 0o600)
    try {
      await file.writeFile(text)
      await file.chmod(mode & 0o777)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(draft, target)
  } catch (cause) {
    await rm(draft, { force: true })
    throw notWritten(path, cause)
  }
}

function notWritten(path: string, cause: unknown): Fault {
  const { code, message } = cause as NodeJS.ErrnoException
  return new Fault('unavailable', 'kubeconfig-not-written', `write kubeconfig ${path}: ${code ?? message}`, {
    cause,
  })
}
