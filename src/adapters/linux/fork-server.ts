// Perl helpers that fork themselves when they are called: see wait_for_call in kernel.pl. To start one from here costs a
// fork of this large process and a start of perl, 4 ms each, on the thread that everybody waits for.
import { type ChildProcess, spawn } from 'node:child_process'
import { createConnection, type Socket } from 'node:net'
import { join } from 'node:path'
import { randomSuffix } from '../../lib/ids.ts'
import { HELPER_ENV, helperPath } from './helper.ts'
import { helpersDir, type Layout } from './layout.ts'

/** The two of a runner. */
export interface ForkServers {
  readonly keepers: ForkServer
  /** Of the parents of commands. */
  readonly commands: ForkServer
  /** Those that were called go on. */
  close(): void
}

export function startForkServers(layout: Layout, keeperCgroups: readonly string[]): ForkServers {
  const keepers = new ForkServer('keeper.pl', helpersDir(layout), keeperCgroups)
  const commands = new ForkServer('exec.pl', helpersDir(layout))
  const close = () => {
    keepers.close()
    commands.close()
  }
  return { keepers, commands, close }
}

/** As long as in kernel.pl. */
const LINE_BYTES = 64

export class ForkServer {
  readonly #script: string
  readonly #dir: string
  readonly #args: readonly string[]
  #server: { readonly child: ChildProcess; readonly path: string } | undefined
  #calls = 0
  #closed = false

  /** Its socket is made in `dir`, which nobody else may write to. */
  constructor(script: 'exec.pl' | 'keeper.pl', dir: string, args: readonly string[] = []) {
    this.#script = script
    this.#dir = dir
    this.#args = args
    this.#start()
  }

  /**
   * The descriptors of a new helper, the last of them its control. Undefined when nobody answers, because it is just
   * being started or was killed: then the helper is to be started by itself.
   */
  async call(count: number, text = ''): Promise<readonly Socket[] | undefined> {
    if (this.#server === undefined) this.#start()
    const { path } = this.#server ?? {}
    if (path === undefined) return undefined
    const call = (++this.#calls).toString(16)
    const sockets = Array.from({ length: count }, () => createConnection({ path, allowHalfOpen: true }))
    try {
      await Promise.all(sockets.map(connected))
    } catch {
      for (const socket of sockets) socket.destroy()
      return undefined // As promised.
    }
    sockets.forEach((socket, index) => {
      const more = index === count - 1 ? text : ''
      const line = `${call} ${index} ${count} ${Buffer.byteLength(text)}`.padEnd(LINE_BYTES - 1)
      socket.write(`${line}\n${more}`)
    })
    return sockets
  }

  /** Those that were called go on. */
  close(): void {
    this.#closed = true
    this.#server?.child.stdin?.end()
    this.#server = undefined
  }

  #start(): void {
    if (this.#closed) return
    const path = join(this.#dir, `${this.#script}-${randomSuffix(8)}.sock`)
    const child = spawn('perl', [helperPath(this.#script), '--serve', path, ...this.#args], {
      cwd: '/',
      env: HELPER_ENV,
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    })
    const gone = () => {
      if (this.#server?.child === child) this.#server = undefined
    }
    child.once('error', gone) // Whoever is started by itself meets the same error, and tells.
    child.once('exit', gone)
    child.stdin?.on('error', () => undefined) // As above.
    child.unref()
    this.#server = { child, path }
  }
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
}
