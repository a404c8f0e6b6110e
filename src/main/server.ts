// `bothy server`: the control plane, alone or as the child of `bothy up`.
import { chown } from 'node:fs/promises'
import { serverAccount } from '../adapters/postgres/embedded/account.ts'
import { canReach } from '../adapters/postgres/embedded/home.ts'
import type { Deps, ServerOptions } from '../cli/deps.ts'
import { createLog, type Log } from '../lib/log.ts'
import { ensureAdminContext } from './admin-context.ts'
import { startControlPlane } from './control-plane.ts'
import { handOver } from './hand-over.ts'
import { dataPaths } from './paths.ts'

/** What the child tells its parent once it serves. */
export interface ServerReady {
  readonly url: string
  readonly ca: string
  readonly token: string
}

/** Serves until `signal` aborts, or until the parent that started it is gone. */
export async function runServer(deps: Deps, options: ServerOptions): Promise<void> {
  const log = createLog({ name: 'server', level: deps.env.BOTHY_LOG ?? 'info' })
  const databaseUrl = deps.env.BOTHY_DATABASE_URL
  const signal = AbortSignal.any([options.signal, parentGone()])
  const plane = await startControlPlane({
    dataDir: options.dataDir,
    ...(options.listen === undefined ? {} : { listen: options.listen }),
    ...(databaseUrl === undefined || databaseUrl === '' ? {} : { databaseUrl }),
    log,
    clock: deps.clock,
    signal,
  })
  try {
    const { url, ca, postgres } = plane
    const token = await ensureAdminContext(postgres.credentials, { url, ca }, deps.env, log)
    await becomeOrdinary(options.dataDir, log)
    if (process.send === undefined) deps.stdout.write(`serving ${url}; context 'local' is ready\n`)
    else process.send({ url, ca, token } satisfies ServerReady)
    if (!signal.aborted)
      await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(), { once: true }))
  } finally {
    await plane.stop()
  }
}

function parentGone(): AbortSignal {
  const gone = new AbortController()
  if (process.send !== undefined) process.once('disconnect', () => gone.abort())
  return gone.signal
}

/**
 * Gives root away: everything that needs it is done. What the server still writes (keys and certificates when they are
 * renewed) is handed to the account that the database runs as. Stays root where that account cannot reach the data.
 */
async function becomeOrdinary(dataDir: string, log: Log): Promise<void> {
  if (process.getuid?.() !== 0) return
  const account = await serverAccount(undefined)
  const dir = dataPaths(dataDir).server
  if (!(await canReach(dir, { ...account }).catch(() => false))) {
    // The keys' folder is 0700: reachable once it is the account's, if everything above lets through.
    await chown(dir, account.uid, account.gid)
  }
  await handOver(dir, account)
  if (!(await canReach(dir, account))) {
    await chown(dir, 0, 0)
    log.warn({ dir, account: account.name }, 'staying root: the data folder is closed to other accounts')
    return
  }
  process.setgroups?.([])
  process.setgid?.(account.gid)
  process.setuid?.(account.uid)
  log.info({ account: account.name }, 'serving as an ordinary account')
}
