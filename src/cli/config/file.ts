// The contexts file on disk: readable by its owner only, replaced in one step.
import { chmod, lstat, mkdir, open, readFile, realpath, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Fault } from '../../lib/fault.ts'
import { type Config, type Context, EMPTY_CONFIG, formatConfig, getContext, withContext } from './contexts.ts'
import { parseConfig } from './parse.ts'

/** A missing file is an empty config. A file that others can read is closed to them first; `warn` is told. */
export async function loadConfig(path: string, warn: (message: string) => void): Promise<Config> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined
    throw unreadable(path, cause)
  })
  if (text === undefined) return EMPTY_CONFIG
  await closeToOthers(path, warn)
  return parseConfig(text, path)
}

/** Replaces the file in one step, 0600, in a folder that is 0700 when it has to be made. */
export async function saveConfig(path: string, config: Config): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  // A file that is a link (kept among dotfiles elsewhere) stays one: what it points to is replaced.
  const target = await realpath(path).catch(() => path)
  // Only here: it loads cryptography (4 ms), which those who read the file may do without.
  const { randomSuffix } = await import('../../lib/ids.ts')
  const temporary = `${target}.${randomSuffix(8)}`
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(formatConfig(config))
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, target)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw new Fault('unavailable', 'config-not-written', `write ${path}: ${(cause as Error).message}`, {
      cause,
    })
  }
}

/** Adds or replaces a context. `makeCurrent` selects it; the first one is selected anyway. */
export async function saveContext(path: string, context: Context, makeCurrent: boolean): Promise<void> {
  const config = await loadConfig(path, () => undefined)
  await saveConfig(path, withContext(config, context, makeCurrent))
}

/** The context of that name, or the current one; undefined when there is no such. */
export async function loadContext(path: string, name?: string): Promise<Context | undefined> {
  const config = await loadConfig(path, () => undefined)
  const wanted = name ?? config.current
  return config.contexts.some(each => each.name === wanted) ? getContext(config, wanted!) : undefined
}

async function closeToOthers(path: string, warn: (message: string) => void): Promise<void> {
  const { mode } = await lstat(await realpath(path))
  if ((mode & 0o077) === 0) return
  await chmod(path, 0o600).catch((cause: unknown) => {
    throw new Fault('forbidden', 'config-open', `read ${path}: others on this machine can read its tokens`, {
      cause,
      hint: `chmod 600 ${path}`,
    })
  })
  warn(
    `${path} could be read by others; its mode is 0600 now. If others use this machine, replace its tokens.`,
  )
}

function unreadable(path: string, cause: NodeJS.ErrnoException): Fault {
  return new Fault('unavailable', 'config-unreadable', `read ${path}: ${cause.code ?? cause.message}`, {
    cause,
  })
}
