// The real server as a process of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { loadContext } from '../../../src/cli/config/file.ts'
import { ROOT } from '../../../src/main/paths.ts'
import { memoryMb } from './proc.ts'

export interface Address {
  readonly server: string
  readonly ca: string
  readonly token: string
}

export class ServerProcess {
  readonly #dir: string
  readonly #databaseUrl: string
  #child: ChildProcess | undefined
  #listen = '127.0.0.1:0'

  constructor(dir: string, databaseUrl: string) {
    this.#dir = dir
    this.#databaseUrl = databaseUrl
  }

  /** Until it serves. Again at the same address after `kill`. */
  async start(): Promise<Address> {
    const config = join(this.#dir, 'config')
    const env = {
      ...process.env,
      XDG_CONFIG_HOME: config,
      BOTHY_DATABASE_URL: this.#databaseUrl,
      BOTHY_LOG: 'warn',
    }
    const flags = process.env['BENCH_SERVER_FLAGS']?.split(' ') ?? []
    const program = [join(ROOT, 'src/main/cli.ts'), 'server', '--data', join(this.#dir, 'data')]
    const child = spawn(process.execPath, [...flags, ...program, '--listen', this.#listen], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#child = child
    let said = ''
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (text: Buffer) => {
        said += text.toString()
        if (/^serving /m.test(said)) resolve()
      })
      child.once('error', reject)
      child.once('exit', code => reject(new Error(`the server ended with ${code}: ${said}`)))
    })
    const context = await loadContext(join(config, 'bothy/config.yaml'))
    if (context === undefined) throw new Error('the server wrote no context')
    this.#listen = new URL(context.server).host
    return { server: context.server, ca: context.ca ?? '', token: context.token }
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  memoryMb(): { readonly now: number; readonly peak: number } {
    return memoryMb(this.pid)
  }

  /** As a crash would. */
  kill(): Promise<void> {
    return this.#end('SIGKILL')
  }

  close(): Promise<void> {
    return this.#end('SIGTERM')
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }
}
