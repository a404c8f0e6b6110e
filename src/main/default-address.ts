// Where a server listens that was not told where: at the port of its last start, so that the addresses which
// kubeconfigs and runners hold stay right, and at a free one otherwise.
import { open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Address } from '../cli/deps.ts'
import { isFault } from '../lib/fault.ts'
import { randomSuffix } from '../lib/ids.ts'
import type { Log } from '../lib/log.ts'

const HOST = '127.0.0.1'
const FIRST_PORT = 7766
const PORTS_TRIED = 100

/**
 * Calls `listen` with the port that `dir` remembers, then with the default one and those after it, until one is free,
 * and remembers that. Faults as `listen` does, except that taken ports are passed over.
 */
export async function listenByDefault<T>(
  listen: (address: Address) => Promise<T>,
  dir: string,
  log: Log,
): Promise<T> {
  const file = join(dir, 'port')
  const before = await rememberedPort(file)
  const others = Array.from({ length: PORTS_TRIED }, (_, index) => FIRST_PORT + index)
  const ports = before === undefined ? others : [before, ...others.filter(port => port !== before)]
  for (const [index, port] of ports.entries()) {
    try {
      const listening = await listen({ host: HOST, port })
      if (port !== before) await rememberPort(file, port)
      if (port !== before && before !== undefined)
        log.warn(
          { before, port },
          "the last port is taken; 'bothy kubeconfig --write' tells kubectl the new one",
        )
      return listening
    } catch (error) {
      if (!isFault(error) || error.code !== 'port-taken' || index === ports.length - 1) throw error
    }
  }
  throw new RangeError('there is always a port to try')
}

async function rememberedPort(file: string): Promise<number | undefined> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  const port = /^\d{1,5}\n?$/.test(text) ? Number(text) : 0
  // Anything else was not written by us, and any free port is as good.
  return port >= 1 && port <= 65_535 ? port : undefined
}

/** In one step: the folder may be another account's by now, and what it put there must not be written through. */
async function rememberPort(file: string, port: number): Promise<void> {
  const draft = `${file}.${randomSuffix(8)}`
  try {
    const handle = await open(draft, 'wx', 0o600)
    try {
      await handle.writeFile(`${port}\n`)
    } finally {
      await handle.close()
    }
    await rename(draft, file)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}
