// The administrator's token: made by the first start, stored hashed, kept in the contexts file of whoever started.
import { createHash, randomBytes } from 'node:crypto'
import { chown, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { loadContext, saveContext } from '../cli/config/file.ts'
import { configPath } from '../cli/config/paths.ts'
import type { CredentialStore } from '../core/credentials.ts'
import { failpoint } from '../lib/failpoint.ts'
import { NAMESPACE } from './defaults.ts'

const CONTEXT = 'local'
const ADMIN = { name: 'admin', role: 'admin' } as const

type Env = Readonly<Record<string, string | undefined>>

/** Makes sure that the context `local` names this server and holds a token that it knows. Returns the token. */
export async function ensureAdminContext(
  credentials: CredentialStore,
  { url, ca }: { url: string; ca: string },
  env: Env,
): Promise<string> {
  const path = configPath(env)
  const before = await loadContext(path, CONTEXT).catch(() => undefined) // None yet: a new one is made.
  const known = before !== undefined && (await credentials.findUser(hashOf(before.token))) !== undefined
  const token = known ? before.token : `bothy_${randomBytes(32).toString('base64url')}`
  if (!known) await credentials.putUserToken(ADMIN, hashOf(token))
  failpoint('server.admin-known')
  const context = { name: CONTEXT, server: url, ca, token, namespace: NAMESPACE }
  await saveContext(path, context, true)
  await shareWithSudoUser(context, env)
  return token
}

// With sudo it is the user behind it who types the next command.
async function shareWithSudoUser(context: Parameters<typeof saveContext>[1], env: Env): Promise<void> {
  const [uid, gid] = [Number(env.SUDO_UID), Number(env.SUDO_GID)]
  if (!(uid > 0) || env.SUDO_USER === undefined || process.getuid?.() !== 0) return
  const home = await homeOf(uid)
  if (home === undefined) return
  const path = configPath({ HOME: home })
  await saveContext(path, context, true)
  for (const each of [path, dirname(path), dirname(dirname(path))]) {
    // Only what root just made; a folder that was the user's is the user's still.
    if ((await stat(each)).uid === 0) await chown(each, uid, gid)
  }
}

async function homeOf(uid: number): Promise<string | undefined> {
  const { readFile } = await import('node:fs/promises')
  const line = (await readFile('/etc/passwd', 'utf8'))
    .split('\n')
    .find(each => Number(each.split(':')[2]) === uid)
  return line?.split(':')[5]
}

const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex')
