import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Key } from '../../api/resource.ts'
import type { ExecRequest } from '../../core/exec.ts'
import { REASONS } from '../../lib/fault.ts'
import type { Deps, Session } from '../deps.ts'
import { oneLine } from '../output/text.ts'
import { exitCode } from './exit-code.ts'
import { openRawTerminal, type Restore, terminalSize, watchSize } from './terminal.ts'

export interface ExecOptions {
  readonly argv: readonly string[]
  readonly cwd?: string | undefined
  readonly user?: string | undefined
  /** `-t`: the command gets a terminal of its own. */
  readonly tty: boolean
  /** `-i`: forward standard input even from a terminal that is not handed over with `-t`. */
  readonly interactive: boolean
}

/** Is our standard input the command's? Not a terminal that the command does not get: it would wait for a person. */
export function forwardsInput(
  stdin: { readonly isTTY?: boolean },
  options: { tty: boolean; interactive: boolean },
): boolean {
  return stdin.isTTY !== true || options.tty || options.interactive
}

export function execRequest(options: ExecOptions, deps: Pick<Deps, 'stdout' | 'env'>): ExecRequest {
  const { argv, cwd, user, tty } = options
  return {
    argv,
    ...(cwd === undefined ? {} : { cwd }),
    ...(user === undefined ? {} : { user }),
    ...(tty ? { tty: terminalSize(deps.stdout), env: terminalEnv(deps.env) } : {}),
  }
}

// What programs inside need to know of the terminal outside, and nothing else of our environment.
function terminalEnv(env: Deps['env']): Record<string, string> {
  const entries = ['TERM', 'COLORTERM'].flatMap(name => {
    const value = env[name]
    return value === undefined || value === '' || value.length > 64 ? [] : [[name, value]]
  })
  return { TERM: 'xterm-256color', ...Object.fromEntries(entries) }
}

/** Runs a command in an environment, wired to our own streams, and returns the exit code to end with. */
export async function runExec(
  session: Session,
  deps: Pick<Deps, 'stdin' | 'stdout' | 'stderr' | 'env' | 'signal'>,
  key: Key<'Environment'>,
  options: ExecOptions,
): Promise<number> {
  const grant = await session.entrance(key, 'exec')
  const stop = new AbortController()
  const signal = AbortSignal.any([deps.signal, stop.signal])
  const stream = await session.openExec(grant, execRequest(options, deps), signal)
  // Raw mode only once there is something to talk to: until then ^C must end the command line.
  const restores: Restore[] = []
  try {
    if (options.tty) {
      if (deps.stdin.isTTY === true) restores.push(openRawTerminal(deps.stdin))
      restores.push(watchSize(deps.stdout, size => stream.resize(size)))
    }
    if (forwardsInput(deps.stdin, options)) forward(deps.stdin, stream.stdin)
    else stream.stdin.end()
    const output = Promise.all([
      drain(stream.stdout, deps.stdout),
      stream.stderr === undefined ? undefined : drain(stream.stderr, deps.stderr),
    ])
    // Whoever reads our output has gone: nobody is left for whom the command runs.
    output.catch(() => stop.abort())
    const exit = await Promise.race([stream.exit, output.then(() => stream.exit)])
    await output
    if ('oomKilled' in exit && exit.oomKilled === true) {
      deps.stderr.write('killed: the environment ran out of memory\n')
    } else if ('signal' in exit && !deps.signal.aborted) {
      deps.stderr.write(`${options.tty ? '\r\n' : ''}${endedBy(exit.signal)}\n`)
    }
    // Ended because we were asked to end: how it was ended is no news.
    return 'signal' in exit && deps.signal.aborted ? REASONS.cancelled.exit : exitCode(exit)
  } finally {
    for (const restore of restores) restore()
    deps.stdin.unpipe()
    deps.stdin.pause()
  }
}

// Nobody should take a stop for a crash, nor wonder why the shell is gone.
function endedBy(signal: string): string {
  const who = ['SIGKILL', 'SIGTERM', 'SIGHUP'].includes(signal)
    ? ', sent from inside, or because the environment or its runner was stopped'
    : ''
  return `ended by ${oneLine(signal)}${who}`
}

function forward(input: Readable, target: Writable): void {
  // A command that ends without reading its input closes it; that is no error of ours.
  target.on('error', () => undefined)
  input.on('error', () => target.end())
  input.pipe(target)
}

/** Copies to the end without ending `to`, which is shared; rejects when `to` breaks. */
async function drain(from: Readable, to: Writable): Promise<void> {
  await pipeline(from, to, { end: false })
}
