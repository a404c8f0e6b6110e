// The runner's side of guardian.pl: what is to be undone is told before it is done.
import { type ChildProcess, spawn } from 'node:child_process'
import type { Writable } from 'node:stream'
import type { Clock, Millis } from '../../../lib/clock.ts'
import { Fault } from '../../../lib/fault.ts'
import type { Log } from '../../../lib/log.ts'
import { HELPER_ENV, helperPath } from '../helper.ts'

export interface GuardianOptions {
  /** Of one file there is one guardian at a time. */
  readonly lockFile: string
  /** cgroup.procs of the groups that it lives in. */
  readonly cgroupFiles: readonly string[]
  readonly clock: Clock
  readonly log: Log
}

// The last runner's guardian, if there is one, gives up after a second.
const READY_MS: Millis = 5_000

/** Undoes what it was told to when this process ends, or its own end is asked for. A few MB. */
export class Guardian {
  readonly #options: GuardianOptions
  /** What is to be written, by file and entry: told again to the next one, should somebody kill this one. */
  readonly #held = new Map<string, string>()
  #child: ChildProcess | undefined
  #starting: Promise<ChildProcess> | undefined
  #waiting: (() => void)[] = []
  #closed = false

  constructor(options: GuardianOptions) {
    this.#options = options
  }

  /** Resolves when it is on guard. Faults with `unavailable` when it cannot be: then nobody may be held up. */
  async open(): Promise<void> {
    await this.#ready()
  }

  /** From now on `value` is written to `file` at the end. `entry`: of a file with several, which of them that sets. */
  async hold(file: string, value: string, entry = ''): Promise<void> {
    const key = `${file}\t${entry}`
    if (this.#child !== undefined && this.#held.get(key) === value) return
    this.#held.set(key, value)
    await this.#tell(`hold\t${key}\t${value}\n`)
  }

  /** Nothing is written to `file`, or to that entry of it, at the end. */
  async drop(file: string, entry = ''): Promise<void> {
    const key = `${file}\t${entry}`
    if (!this.#held.delete(key)) return
    await this.#tell(`drop\t${key}\n`)
  }

  /** Nothing is written at the end to files whose path has `part` in it: what they belong to is gone. */
  async forget(part: string): Promise<void> {
    const keys = [...this.#held.keys()].filter(key => key.includes(part))
    for (const key of keys) this.#held.delete(key)
    if (keys.length > 0) await this.#tell(keys.map(key => `drop\t${key}\n`).join(''))
  }

  /** Is `file` to be written to at the end? */
  holds(file: string): boolean {
    return this.#held.has(`${file}\t`)
  }

  /** Files of that name, in `dir` or below it, that are to be written to at the end. */
  heldIn(dir: string, name: string): readonly string[] {
    const files = [...this.#held.keys()].map(key => key.slice(0, key.indexOf('\t')))
    return files.filter(file => file.startsWith(`${dir}/`) && file.endsWith(`/${name}`))
  }

  /** Writes everything now. */
  async release(): Promise<void> {
    if (this.#held.size === 0) return
    this.#held.clear()
    const child = await this.#ready()
    await new Promise<void>(resolve => {
      this.#waiting.push(resolve)
      child.stdin?.write('release\n')
    })
  }

  /** Its end, which undoes everything. Resolves when that is done. */
  async close(): Promise<void> {
    this.#closed = true
    // One that could not be started has nothing to undo.
    const child = await this.#starting?.catch(() => undefined)
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise<void>(resolve => child.once('exit', () => resolve()))
    child.stdin?.end()
    await gone
  }

  async #tell(line: string): Promise<void> {
    // One that is just started hears everything at first.
    const known = this.#child
    const child = await this.#ready()
    if (child === known) await written(child.stdin, line)
  }

  #ready(): Promise<ChildProcess> {
    if (this.#closed)
      return Promise.reject(new Fault('unavailable', 'guardian-closed', 'guard environments: it was closed'))
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined
      throw error
    })
    return this.#starting
  }

  async #start(): Promise<ChildProcess> {
    const { lockFile, cgroupFiles, clock, log } = this.#options
    const child = spawn('perl', [helperPath('guardian.pl'), lockFile, ...cgroupFiles], {
      cwd: '/',
      env: HELPER_ENV,
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    })
    child.stdin.on('error', () => undefined) // Its end tells.
    child.stderr.setEncoding('utf8').on('data', (said: string) => log.warn({ said: said.trim() }, 'guardian'))
    const over = new AbortController()
    const failed = (how: string, cause?: unknown) =>
      new Fault('unavailable', 'guardian', `guard environments: ${how}`, { cause })
    const ready = new Promise<void>((resolve, reject) => {
      child.once('error', cause => reject(failed(cause.message, cause)))
      child.once('exit', () => {
        reject(failed('the guardian ended'))
        this.#lost(child)
      })
      child.stdout.setEncoding('utf8').on('data', (said: string) => {
        for (const word of said.trim().split('\n'))
          if (word === 'ready') resolve()
          else for (const heard of this.#waiting.splice(0)) heard()
      })
    })
    const late = clock.sleep(READY_MS, over.signal).then(() => {
      throw failed('another runner of this name is at work')
    })
    late.catch(() => undefined) // It was ready in time.
    try {
      await Promise.race([ready, late])
    } catch (error) {
      child.kill('SIGKILL')
      throw error
    } finally {
      over.abort()
    }
    await written(child.stdin, [...this.#held].map(([key, value]) => `hold\t${key}\t${value}\n`).join(''))
    for (const each of [child, child.stdin, child.stdout, child.stderr])
      (each as { unref?(): void }).unref?.()
    this.#child = child
    return child
  }

  // Somebody killed it: what is held up is not guarded until there is another.
  #lost(child: ChildProcess): void {
    for (const heard of this.#waiting.splice(0)) heard()
    if (this.#child !== child) return
    this.#child = undefined
    this.#starting = undefined
    if (this.#closed) return
    this.#options.log.warn({}, 'the guardian of environments was killed; starting another')
    this.#ready().catch((error: unknown) => this.#options.log.error({ error: String(error) }, 'no guardian'))
  }
}

// What is in the pipe is heard, whatever becomes of the writer.
function written(input: Writable | null, text: string): Promise<void> {
  if (text === '' || input === null) return Promise.resolve()
  return new Promise((resolve, reject) => {
    input.write(text, error => {
      if (error === undefined || error === null) resolve()
      else
        reject(new Fault('unavailable', 'guardian', `guard environments: ${error.message}`, { cause: error }))
    })
  })
}
