// Commands in a sandbox. exec.pl is the parent of each; this side gives it streams and hears how it ended.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import type { Duplex, Readable, Writable } from 'node:stream'
import type { ExecRequest, ExecStream, Exit, TtySize } from '../../core/exec.ts'
import { Fault } from '../../lib/fault.ts'
import { hearHelper } from './control.ts'
import { settleStreams } from './drain.ts'
import type { ForkServer } from './fork-server.ts'
import { SESSION } from './groups.ts'
import { HELPER_ENV, helperPath } from './helper.ts'
import { parseExit } from './keeper.ts'
import { workScore } from './oom-order.ts'
import type { Runtime, SandboxPlace } from './runtime.ts'

const EXEC = helperPath('exec.pl')

export interface ExecTarget {
  readonly runtime: Runtime
  readonly place: SandboxPlace
  /** Its first process is an init system of its own. */
  readonly hasInit: boolean
  readonly commands: ForkServer
  readonly env: readonly string[]
  readonly cwd: string
  readonly maxOpenFiles: number
  readonly keepsCores: boolean
}

export interface ExecUser {
  readonly uid: number
  readonly gid: number
  readonly additionalGids: readonly number[]
  readonly env: readonly string[]
}

/** Runs `request` as `user` in the sandbox. Faults with `unavailable` when the sandbox is gone. */
export async function execInSandbox(
  target: ExecTarget,
  request: ExecRequest,
  user: ExecUser,
  signal: AbortSignal,
): Promise<ExecStream> {
  signal.throwIfAborted()
  const { id, paths } = target.place
  const name = `exec-${randomBytes(6).toString('hex')}`
  const file = (suffix: string) => `${paths.dir}/${name}.${suffix}`
  const process = target.runtime.configureProcess({
    argv: request.tty === undefined ? request.argv : sizedFirst(request.argv, request.tty),
    env: mergeEnv(
      target.env,
      user.env,
      // What a client says of its terminal is worth more than a guess.
      request.tty === undefined ? [] : ['TERM=xterm-256color'],
      request.env ?? {},
    ),
    cwd: request.cwd ?? target.cwd,
    uid: user.uid,
    gid: user.gid,
    additionalGids: user.additionalGids,
    maxOpenFiles: target.maxOpenFiles,
    keepsCores: target.keepsCores,
    ...(request.tty === undefined ? {} : { tty: request.tty }),
  })
  // A file, 0600 on tmpfs: the variables may hold secrets, and argv is readable to everybody on the host.
  await writeFile(file('json'), JSON.stringify(process), { mode: 0o600 }).catch(
    (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') throw gone(id, cause)
      throw cause
    },
  )
  const files = {
    ...{ json: file('json'), pid: file('pid'), inside: file('inside'), log: file('log') },
    console: request.tty === undefined ? undefined : file('tty'),
  }
  const group = request.group ?? SESSION
  const { options, argv } = target.runtime.execPlan(target.place, files, { hasInit: target.hasInit, group })
  const { stdin, stdout, stderr, control } = await startHelper(target.commands, [
    ...options,
    ...(group === 'work' ? ['--oom-score', String(workScore())] : []),
    ...(files.console === undefined ? [] : ['--console', files.console]),
    ...['--pid-file', files.pid, '--log', files.log, '--'],
    ...argv,
  ])
  const abort = () => control.write('kill\n')
  const exit = new Promise<Exit>((resolve, reject) => {
    const forget = () => void rm(file('json'), { force: true })
    hearHelper(
      control,
      (word, fields) => {
        if (word === 'pid' || word === 'failed') forget()
        if (word === 'pid' && signal.aborted) abort()
        if (word === 'exit') resolve(parseExit(fields[0], fields[1]))
        if (word !== 'failed') return
        // A runtime that logs more ends with what was wrong.
        const ending = startFailure(id, request, fields.join(' ').replace(/^.*FATAL ERROR: /, ''))
        if (ending instanceof Error) reject(ending)
        else resolve(ending)
      },
      () => {
        forget()
        reject(gone(id))
      },
    )
  })
  signal.addEventListener('abort', abort, { once: true })
  stdin.on('error', () => undefined) // A command that never reads its input is forgiven.
  control.once('close', () => stdin.destroy()) // Nobody is there to read it.
  if (request.tty !== undefined) stderr.resume()
  const streams = request.tty === undefined ? [stdout, stderr] : [stdout]
  const ended = exit.then(async how => {
    signal.removeEventListener('abort', abort)
    await settleStreams(streams, signal)
    return how
  })
  ended.catch(() => undefined) // The caller's to handle; here only so that an unasked end is no crash.
  return {
    stdin,
    stdout,
    stderr: request.tty === undefined ? stderr : undefined,
    resize: ({ columns, rows }) => void control.write(`resize\t${columns}\t${rows}\n`),
    exit: ended,
  }
}

interface ExecHelper {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  readonly control: Duplex
}

async function startHelper(commands: ForkServer, args: readonly string[]): Promise<ExecHelper> {
  const called = await commands.call(4, args.join('\0'))
  if (called !== undefined) {
    const [stdin, stdout, stderr, control] = called as [Socket, Socket, Socket, Socket]
    stdin.resume() // To see its end; nothing comes that way.
    for (const output of [stdout, stderr]) {
      output.allowHalfOpen = false
      output.on('error', () => undefined) // A helper that was killed; its control's end tells.
    }
    return { stdin, stdout, stderr, control }
  }
  const child = spawn('perl', [EXEC, ...args], {
    cwd: '/',
    env: HELPER_ENV,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    detached: true,
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', cause =>
      reject(new Fault('unavailable', 'exec-helper', `exec: ${cause.message}`, { cause })),
    )
  })
  const { stdin, stdout, stderr } = child
  return { stdin, stdout, stderr, control: child.stdio[3] as Duplex }
}

// The runtime lets the command go before it has set the terminal's size, and on a busy machine the command may be the
// faster one. So a shell of the sandbox sets it first and becomes the command.
function sizedFirst(argv: readonly string[], { columns, rows }: TtySize): string[] {
  const script = 'stty rows "$1" columns "$2" 2>/dev/null; shift 2; exec "$@"'
  return ['/bin/sh', '-c', script, 'sh', String(rows), String(columns), ...argv]
}

const gone = (id: string, cause?: unknown) =>
  new Fault('unavailable', 'sandbox-gone', `exec in ${id}: the sandbox has ended`, {
    cause,
    hint: 'start the environment again: bothy env start NAME',
  })

const GONE = /does not exist|not running|stopped container|connecting to control server/

// The runtime says in words why it could not start a program; 126 and 127 are what a shell would have answered.
function startFailure(id: string, request: ExecRequest, text: string): Exit | Error {
  if (/^container is not running|opening process file/.test(text)) return gone(id)
  if (
    /executable file .*not found|No such file or directory/i.test(text) &&
    !/container .* does not exist/.test(text)
  ) {
    return { code: 127 }
  }
  if (/Permission denied|exec format error/i.test(text)) return { code: 126 }
  if (GONE.test(text)) return gone(id)
  return new Fault('internal', 'exec-start', `exec ${request.argv[0]} in ${id}: ${text}`)
}

/** Later lists win; the result has each name once. */
export function mergeEnv(...sources: (readonly string[] | Readonly<Record<string, string>>)[]): string[] {
  const merged = new Map<string, string>()
  for (const source of sources) {
    // An image's entry without `=` names a variable and gives it no value.
    const pairs = Array.isArray(source)
      ? (source as readonly string[]).flatMap(each => {
          const at = each.indexOf('=')
          return at > 0 ? [[each.slice(0, at), each.slice(at + 1)] as const] : []
        })
      : Object.entries(source)
    for (const [name, value] of pairs) merged.set(name, value)
  }
  return [...merged].map(([name, value]) => `${name}=${value}`)
}
