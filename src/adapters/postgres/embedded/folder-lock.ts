import { stat } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { Fault } from '../../../lib/fault.ts'

/**
 * Holds `folder` for this process. An abstract Unix socket (unix(7)): taken atomically, and given back by the kernel
 * however the process ends, so that there is no stale lock to reason about. Faults with `conflict` when it is held.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const server = createServer(socket => socket.destroy())
  // The folder itself, not its name: containers that share a network have other folders of the same name.
  const { dev, ino } = await stat(folder)
  try {
    await listen(server, `\0bothy/postgres/${dev}:${ino}`)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause
    const message = `start PostgreSQL: another process uses the database in ${folder}`
    const hint = 'stop the other bothy server first, or give this one a data folder of its own'
    throw new Fault('conflict', 'data-in-use', message, { cause, hint })
  }
  server.unref()
  return () => new Promise(resolve => server.close(() => resolve()))
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ path }, resolve)
  })
}
