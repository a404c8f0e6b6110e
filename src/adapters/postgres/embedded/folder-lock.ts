import { stat } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { type Millis, systemClock } from '../../../lib/clock.ts'
import { Fault } from '../../../lib/fault.ts'
import type { Log } from '../../../lib/log.ts'

const POLL_MS = 50

/**
 * Holds `folder` for this process. An abstract Unix socket (unix(7)): taken atomically, and given back by the kernel
 * however the process ends, so that there is no stale lock to reason about. Faults with `conflict` when it is still held
 * after `waitMs`.
 */
export async function lockFolder(
  folder: string,
  { waitMs, log, signal }: { waitMs: Millis; log: Log; signal?: AbortSignal },
): Promise<() => Promise<void>> {
  // The folder itself, not its name: containers that share a network have other folders of the same name.
  const { dev, ino } = await stat(folder)
  const deadlineMs = systemClock.now() + waitMs
  for (let isTold = false; ; isTold = true) {
    try {
      const server = createServer(socket => socket.destroy())
      await listen(server, `\0bothy/postgres/${dev}:${ino}`)
      server.unref()
      return () => new Promise(resolve => server.close(() => resolve()))
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause
      if (systemClock.now() >= deadlineMs) throw inUse(folder, cause)
    }
    if (!isTold) log.warn({ folder, waitMs }, 'waiting for another process to let go of the database')
    await systemClock.sleep(POLL_MS, signal)
  }
}

function inUse(folder: string, cause: unknown): Fault {
  const message = `start PostgreSQL: another process uses the database in ${folder}`
  const hint = 'stop the other bothy server first, or give this one a data folder of its own'
  return new Fault('conflict', 'data-in-use', message, { cause, hint })
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ path }, resolve)
  })
}
