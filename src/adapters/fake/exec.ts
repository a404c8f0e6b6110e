import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { PassThrough, Readable, type Writable } from 'node:stream'
import type { ExecRequest, ExecStream, Exit } from '../../core/exec.ts'
import { Fault } from '../../lib/fault.ts'
import { COMMAND_VARIABLE, findMarked, sendSignal } from './processes.ts'

const PTY = new URL('./pty.pl', import.meta.url).pathname

/** Runs a child process as an exec: its streams, its end, its death on abort. `env` is all of its environment. */
export async function execHere(
  request: ExecRequest & { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
  signal: AbortSignal,
): Promise<ExecStream> {
  const { argv, cwd, tty } = request
  if (signal.aborted) throw new Fault('cancelled', 'exec-cancelled', `run ${argv[0]}: cancelled`)
  if (!existsSync(cwd))
    throw new Fault('not_found', 'cwd-missing', `run ${argv[0]}: there is no folder ${cwd}`)
  // A group is not enough to find everything that a command started: job control and terminals make groups of their own.
  const mark = randomUUID()
  const [file, ...args] =
    tty === undefined ? argv : ['perl', PTY, String(tty.columns), String(tty.rows), ...argv]
  const child = spawn(file ?? '', args, {
    cwd,
    env: {
      ...(tty === undefined ? {} : { TERM: 'xterm-256color' }),
      ...request.env,
      [COMMAND_VARIABLE]: mark,
    },
    detached: true,
    stdio: tty === undefined ? ['pipe', 'pipe', 'pipe'] : ['pipe', 'pipe', 'ignore', 'pipe'],
  })
  const kill = () => {
    if (child.pid === undefined) return
    // Parents first might let a child fork again meanwhile: look until nobody is left.
    for (
      let left = [child.pid];
      left.length > 0;
      left = findMarked(COMMAND_VARIABLE, value => value === mark)
    ) {
      sendSignal(left, 'SIGKILL')
    }
  }
  const started = await startOf(child)
  if (started !== undefined) return notStarted(argv[0] ?? '', started, tty !== undefined)
  if (signal.aborted) kill()
  signal.addEventListener('abort', kill, { once: true })

  const exit = new Promise<Exit>(resolve => {
    // `close`, not `exit`: by then every byte of output has been handed to the streams.
    child.once('close', (code, by) => {
      signal.removeEventListener('abort', kill)
      resolve(by === null ? { code: code ?? 0 } : { signal: by })
    })
  })
  const stdin = child.stdin as Writable
  // A command that ends without reading its input closes the pipe; that is its business.
  stdin.on('error', () => undefined)
  const control = child.stdio[3] as Writable | undefined
  control?.on('error', () => undefined) // As above, for a resize that comes too late.
  return {
    stdin,
    stdout: child.stdout as Readable,
    stderr: tty === undefined ? (child.stderr as Readable) : undefined,
    resize: size => control?.write(`${size.columns} ${size.rows}\n`),
    exit,
  }
}

/** The error that kept it from starting, if any. */
function startOf(child: ChildProcess): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise(resolve => {
    child.once('spawn', () => resolve(undefined))
    child.once('error', resolve)
  })
}

/** As a shell has it: 127 for a program that is not there, 126 for one that cannot be run. */
function notStarted(program: string, error: NodeJS.ErrnoException, tty: boolean): ExecStream {
  if (tty) {
    const hint = 'install perl, which makes the terminals of this driver'
    throw new Fault('unsupported', 'terminal-unsupported', `open a terminal: ${error.message}`, {
      cause: error,
      hint,
    })
  }
  const missing = error.code === 'ENOENT'
  return {
    stdin: new PassThrough().resume(),
    stdout: Readable.from([]),
    stderr: Readable.from([Buffer.from(`${program}: ${missing ? 'not found' : error.message}\n`)]),
    resize: () => undefined,
    exit: Promise.resolve({ code: missing ? 127 : 126 }),
  }
}
