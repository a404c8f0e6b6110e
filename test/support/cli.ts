// The command line, in this process: its own home, its own streams, a real server behind it.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable, Writable } from 'node:stream'
import { saveContext } from '../../src/cli/config/file.ts'
import { configPath } from '../../src/cli/config/paths.ts'
import type { Deps, Input, Output, ProgramName } from '../../src/cli/deps.ts'
import { runProgram } from '../../src/cli/program.ts'
import { openSession } from '../../src/cli/session.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { Fault } from '../../src/lib/fault.ts'
import { LAUNCHER } from '../../src/main/paths.ts'

export interface CliResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface CliCall {
  readonly stdin?: string | Uint8Array | Readable
  readonly signal?: AbortSignal
  readonly env?: Record<string, string>
  readonly cwd?: string
  /** What it was called as; default: `bothy`. */
  readonly program?: ProgramName
  /** Standard output is a terminal. */
  readonly tty?: boolean
  readonly deps?: Partial<Deps>
  /** Sees standard output and error as they grow. */
  readonly onOutput?: (text: string) => void
}

export interface Cli {
  readonly home: string
  run(argv: readonly string[], call?: CliCall): Promise<CliResult>
  close(): Promise<void>
}

/** Collects what is written; a terminal if wanted. */
export class Sink extends Writable implements Output {
  readonly chunks: Buffer[] = []
  readonly isTTY: boolean
  readonly columns = 100
  readonly rows = 30
  readonly #onText: (text: string) => void

  constructor(isTTY: boolean, onText: (text: string) => void = () => undefined) {
    super()
    this.isTTY = isTTY
    this.#onText = onText
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(Buffer.from(chunk))
    this.#onText(chunk.toString())
    done()
  }

  get bytes(): Buffer {
    return Buffer.concat(this.chunks)
  }
}

export async function openCli(server: { url: string; ca: string; token: string }): Promise<Cli> {
  const home = await mkdtemp(join(tmpdir(), 'bothy-cli-'))
  const env = { HOME: home, PATH: process.env['PATH'], TERM: 'xterm' }
  const context = {
    name: 'test',
    server: server.url,
    ca: server.ca,
    token: server.token,
    namespace: 'default',
  }
  await saveContext(configPath(env), context, true)
  return {
    home,
    run: (argv, call = {}) =>
      runCli(argv, { ...call, env: { ...env, ...call.env } as Record<string, string> }),
    close: () => rm(home, { recursive: true, force: true }),
  }
}

/** One command line to its end. */
export async function runCli(argv: readonly string[], call: CliCall = {}): Promise<CliResult> {
  const stdout = new Sink(call.tty === true, call.onOutput)
  const stderr = new Sink(call.tty === true, call.onOutput)
  const env = call.env ?? {}
  const elsewhere = () =>
    Promise.reject(new Fault('unsupported', 'not-in-this-test', 'not part of this test'))
  const deps: Deps = {
    connect: options =>
      openSession(options, {
        env,
        isKubectlPlugin: call.program === 'kubectl bothy',
        warn: message => void stderr.write(`${message}\n`),
      }),
    up: elsewhere,
    down: elsewhere,
    server: elsewhere,
    runnerEnroll: elsewhere,
    runnerRun: elsewhere,
    doctor: elsewhere,
    stdin: inputOf(call.stdin),
    stdout,
    stderr,
    env,
    cwd: call.cwd ?? process.cwd(),
    isRoot: false,
    clock: systemClock,
    version: '0.0.0-test',
    program: call.program ?? 'bothy',
    launcher: LAUNCHER,
    signal: call.signal ?? new AbortController().signal,
    ...call.deps,
  }
  const code = await runProgram(deps, argv)
  return { code, stdout: stdout.bytes.toString(), stderr: stderr.bytes.toString() }
}

function inputOf(stdin: CliCall['stdin']): Input {
  if (stdin instanceof Readable) return stdin
  const input = new PassThrough()
  input.end(stdin ?? '')
  return input
}
