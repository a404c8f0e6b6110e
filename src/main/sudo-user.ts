// With sudo it is the user behind it who types the next command, so the context is theirs too. It is written by a
// process of that user: root must not follow what lies in a home that others rule (a link there could lead anywhere).
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Context } from '../cli/config/contexts.ts'
import { configPath } from '../cli/config/paths.ts'
import { runProcess } from '../lib/run-process.ts'

const WRITER = fileURLToPath(new URL('save-context.ts', import.meta.url))

type Env = Readonly<Record<string, string | undefined>>

export interface SudoUser {
  readonly uid: number
  readonly gid: number
  readonly home: string
}

/** Who called sudo, from what sudo says and the password database knows; undefined without sudo. */
export function findSudoUser(env: Env, passwd: string): SudoUser | undefined {
  const [uid, gid] = [Number(env['SUDO_UID']), Number(env['SUDO_GID'])]
  if (!Number.isInteger(uid) || !Number.isInteger(gid) || uid <= 0 || gid <= 0) return undefined
  const home = passwd
    .split('\n')
    .map(line => line.split(':'))
    .find(fields => fields[2] === String(uid))?.[5]
  return home?.startsWith('/') === true && home !== '/' ? { uid, gid, home } : undefined
}

/** The home of the user behind sudo; undefined without sudo. */
export async function sudoHome(env: Env): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return undefined
  return findSudoUser(env, await readFile('/etc/passwd', 'utf8'))?.home
}

/** Saves the context for the user behind sudo. Answers why it could not be done, or undefined. */
export async function shareWithSudoUser(
  context: Context,
  env: Env,
  passwd?: string,
): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const user = findSudoUser(env, passwd ?? (await readFile('/etc/passwd', 'utf8')))
  if (user === undefined) return undefined
  const { uid, gid, home } = user
  const result = await runProcess([process.execPath, WRITER], {
    // On standard input, since it holds a token.
    input: JSON.stringify({ path: configPath({ HOME: home }), context }),
    cwd: '/',
    env: { HOME: home },
    uid,
    gid,
  })
  return result.code === 0 ? undefined : result.stderr.trim().split('\n').at(-1)
}
