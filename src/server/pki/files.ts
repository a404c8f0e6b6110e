import { constants } from 'node:fs'
import { link, open, readFile, rename, unlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Fault } from '../../lib/fault.ts'
import { randomSuffix } from '../../lib/ids.ts'

/** The text of a file, or undefined when there is none. Any other reason not to read it is a fault with a hint. */
export async function findFile(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    if (code === 'ENOENT') return undefined
    const hint = 'let the user that runs the server own this file with mode 0600; nothing was replaced'
    throw new Fault('forbidden', 'pki-file-unreadable', `read ${path}: ${code}`, { cause, hint })
  }
}

/** Makes a file (0600) unless it exists; what is on disk afterwards wins, also between two servers starting at once. */
export async function createFile(path: string, content: string): Promise<string> {
  const draft = await writeDraft(path, content)
  try {
    await link(draft, path)
    await syncFolder(path)
    return content
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw writeFault(path, cause)
    return await readFile(path, 'utf8')
  } finally {
    await unlink(draft)
  }
}

/** Puts a file (0600) in the place of an older one; a crash leaves either of the two, whole. */
export async function replaceFile(path: string, content: string): Promise<void> {
  const draft = await writeDraft(path, content)
  try {
    await rename(draft, path)
  } catch (cause) {
    await unlink(draft)
    throw writeFault(path, cause)
  }
  await syncFolder(path)
}

/** A fault for a file that exists and makes no sense: never replaced, because what it held may be pinned elsewhere. */
export function corruptFile(path: string, why: string, cause?: unknown): Fault {
  const hint = `restore ${path} from a backup; only if nothing was ever enrolled against this server, remove its folder`
  return new Fault('invalid', 'pki-file-corrupt', `read ${path}: ${why}`, { cause, hint })
}

async function writeDraft(path: string, content: string): Promise<string> {
  const draft = `${path}.${randomSuffix(8)}.tmp`
  try {
    const file = await open(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    try {
      await file.writeFile(content)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (cause) {
    throw writeFault(path, cause)
  }
  return draft
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), constants.O_RDONLY)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function writeFault(path: string, cause: unknown): Fault {
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
  const hint = 'the folder must exist, be writable by the user that runs the server, and have space left'
  return new Fault('unavailable', 'pki-file-unwritable', `write ${path}: ${code}`, { cause, hint })
}
