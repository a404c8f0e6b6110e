// Programs as a user meets them: argv, standard streams, an exit code.
import { type ChildProcess, spawn } from 'node:child_process'
import { Readable } from 'node:stream'

export interface ProgramResult {
  /** 128 + N when signal N ended it is the program's own business; -1: a signal ended it. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  /** Standard output as it came. */
  readonly bytes: Buffer
}

export interface ProgramOptions {
  /** Absent: nothing to read. A stream is handed on as it flows. */
  readonly stdin?: string | Uint8Array | Readable
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly uid?: number
  /** How long `until` waits; a minute if absent. */
  readonly patienceMs?: number
}

export interface Program {
  readonly child: ChildProcess
  readonly result: Promise<ProgramResult>
  /** All it has said so far, on either stream. */
  said(): string
  /** Waits until `pattern` is in what it said; throws when it ends before, or when patience does. */
  until(pattern: RegExp): Promise<void>
  /** Ends it and waits; throws when it does not end. */
  end(signal?: NodeJS.Signals): Promise<ProgramResult>
  /** The result of a program that ends by itself; throws when it does not. */
  inTime(): Promise<ProgramResult>
}

const PATIENCE_MS = 60_000

export function startProgram(argv: readonly string[], options: ProgramOptions = {}): Program {
  const [file, ...args] = argv
  const child = spawn(file!, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    uid: options.uid,
    gid: options.uid,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  let listeners: (() => void)[] = []
  const tell = () => {
    for (const each of listeners) each()
  }
  for (const [stream, chunks] of [
    [child.stdout, stdout],
    [child.stderr, stderr],
  ] as const) {
    stream.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      tell()
    })
  }
  const text = (chunks: Buffer[]) => Buffer.concat(chunks).toString()
  const said = () => text(stderr) + text(stdout)
  // A program that does not read its input may close it.
  child.stdin.on('error', () => undefined)
  if (options.stdin instanceof Readable) options.stdin.pipe(child.stdin)
  else child.stdin.end(options.stdin)
  let ended = false
  const result = new Promise<ProgramResult>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => {
      ended = true
      resolve({ code: code ?? -1, stdout: text(stdout), stderr: text(stderr), bytes: Buffer.concat(stdout) })
      tell()
    })
  })
  result.catch(() => undefined) // Whoever waits for it is told.
  // Shorter than a test may take, so that what it said is seen.
  const inTime = async (why: string, ms: number) => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(
          new Error(`${argv.join(' ')} ${why} in ${ms} ms (exit ${child.exitCode}):\n${said().slice(-8000)}`),
        )
        child.kill('SIGKILL')
      }, ms)
    })
    return Promise.race([result, late]).finally(() => clearTimeout(timer))
  }
  return {
    child,
    result,
    said,
    until: pattern =>
      new Promise<void>((resolve, reject) => {
        const settle = (done: () => void) => {
          clearTimeout(timer)
          listeners = listeners.filter(each => each !== look)
          done()
        }
        const fail = (why: string) =>
          settle(() => reject(new Error(`${argv.join(' ')} ${why} ${pattern}:\n${said()}`)))
        const look = () => {
          if (pattern.test(said())) settle(resolve)
          else if (ended) fail('ended without saying')
        }
        const patienceMs = options.patienceMs ?? PATIENCE_MS
        const timer = setTimeout(() => fail(`did not say in ${patienceMs} ms`), patienceMs)
        listeners.push(look)
        look()
      }),
    async end(signal = 'SIGTERM') {
      if (!ended) child.kill(signal)
      return inTime(`did not end after ${signal}`, 30_000)
    },
    inTime: () => inTime('did not end', 50_000),
  }
}

/** Runs it to its end. */
export function runProgram(argv: readonly string[], options: ProgramOptions = {}): Promise<ProgramResult> {
  return startProgram(argv, options).inTime()
}
