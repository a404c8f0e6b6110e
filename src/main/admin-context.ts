// The administrator's token: made by the first start, stored hashed, kept in the contexts file of whoever started.
import { createHash, randomBytes } from 'node:crypto'
import { loadContext, saveContext } from '../cli/config/file.ts'
import { configPath } from '../cli/config/paths.ts'
import type { CredentialStore } from '../core/credentials.ts'
import { failpoint } from '../lib/failpoint.ts'
import type { Log } from '../lib/log.ts'
import { NAMESPACE } from './defaults.ts'
import { shareWithSudoUser, sudoHome } from './sudo-user.ts'

const CONTEXT = 'local'
const ADMIN = { name: 'admin', role: 'admin' } as const

type Env = Readonly<Record<string, string | undefined>>

/** Makes sure that the context `local` names this server and holds a token that it knows. Returns the token. */
export async function ensureAdminContext(
  credentials: CredentialStore,
  { url, ca }: { url: string; ca: string },
  env: Env,
  log: Log,
): Promise<string> {
  const path = configPath(env)
  const before = await loadContext(path, CONTEXT).catch(() => undefined) // None yet: a new one is made.
  const known = before !== undefined && (await credentials.findUser(hashOf(before.token))) !== undefined
  const token = known ? before.token : `bothy_${randomBytes(32).toString('base64url')}`
  if (!known) await credentials.putUserToken(ADMIN, hashOf(token))
  failpoint('server.admin-known')
  const context = { name: CONTEXT, server: url, ca, token, namespace: NAMESPACE }
  // sudo may keep HOME: then the file is the user's, and only the user's own process may write it.
  if (!path.startsWith(`${(await sudoHome(env)) ?? '\0'}/`)) await saveContext(path, context, true)
  const unshared = await shareWithSudoUser(context, env)
  if (unshared !== undefined)
    log.warn({ why: unshared }, 'the context could not be saved for the user behind sudo')
  return token
}

const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex')
