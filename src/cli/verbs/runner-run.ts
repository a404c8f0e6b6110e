import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { objectPath } from '../../client/paths.ts'
import { Fault, isFault } from '../../lib/fault.ts'
import type { Deps, Session } from '../deps.ts'
import { oneLine } from '../output/text.ts'

/** Prints the token alone, so that it can be piped where it belongs. */
export async function runToken(session: Session, deps: Deps, name: string): Promise<void> {
  const key = { kind: 'Runner', namespace: session.namespace, name } as const
  try {
    await session.store.create({
      kind: 'Runner',
      metadata: { name, namespace: key.namespace },
      spec: { cordoned: false },
    })
  } catch (error) {
    if (!isFault(error) || error.reason !== 'already_exists') throw error
  }
  const { token } = await session.request<{ token: string }>('POST', objectPath(key, 'enrollment-token'))
  deps.stdout.write(`${oneLine(token)}\n`)
}

/** Faults with `invalid` when there is none; a terminal is never read: what is typed there is seen. */
export async function readToken(deps: Pick<Deps, 'stdin' | 'cwd'>, file: string): Promise<string> {
  const hint = 'pipe it in, or give --token-file FILE; an administrator makes one: bothy runner token NAME'
  if (file === '-' && deps.stdin.isTTY === true) {
    throw new Fault('invalid', 'enrollment-token-missing', 'enrol: no token on standard input', { hint })
  }
  const content = file === '-' ? await text(deps.stdin) : await readTokenFile(resolve(deps.cwd, file))
  const token = content.trim()
  if (token !== '' && !/\s/.test(token)) return token
  throw new Fault(
    'invalid',
    'enrollment-token-missing',
    `enrol: there is no token in ${file === '-' ? 'standard input' : file}`,
    { hint },
  )
}

async function readTokenFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new Fault('invalid', 'enrollment-token-unreadable', `read ${path}: ${(cause as Error).message}`, {
      cause,
    })
  }
}
