// Commands in a sandbox. exec.pl is the parent of each; this side gives it streams and hears how it ended.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import type { Duplex, Readable } from 'node:stream'
import type { ExecRequest, ExecStream, Exit, TtySize } from '../../core/exec.ts'
import { Fault } from '../../lib/fault.ts'
import { hearHelper } from './control.ts'
import { settleStreams } from './drain.ts'
import { HELPER_ENV, helperPath } from './helper.ts'
import { parseExit } from './keeper.ts'
import type { Layout, RuntimePaths } from './layout.ts'
import { runtimeState } from './layout.ts'
import { processConfig } from './oci-config.ts'
import { workScore } from './oom-order.ts'

const EXEC = helperPath('exec.pl')

export interface ExecPlace {
  /** A group below the sandbox's own that the runtime puts it in. */
  readonly subgroup?: string
  /** cgroup.procs files that it joins when the runtime has put it into the sandbox's own. */
  readonly settle?: readonly string[]
}

export interface ExecTarget extends ExecPlace {
  readonly id: string
  readonly layout: Layout
  readonly paths: RuntimePaths
  /** cgroup.procs files that the command joins besides what the runtime does. */
  readonly cgroupFiles: readonly string[]
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
  const name = `exec-${randomBytes(6).toString('hex')}`
  const file = (suffix: string) => `${target.paths.dir}/${name}.${suffix}`
  const process = processConfig({
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
      if (cause.code === 'ENOENT') throw gone(target.id, cause)
      throw cause
    },
  )
  const child = spawn(
    'perl',
    [
      EXEC,
      ...target.cgroupFiles.flatMap(each => ['--cgroup', each]),
      ...(target.settle ?? []).flatMap(each => ['--settle', each]),
      ...(request.group === 'work' ? ['--oom-score', String(workScore())] : []),
      ...(request.tty === undefined ? [] : ['--console', file('tty')]),
      ...['--pid-file', file('pid'), '--log', file('log'), '--'],
      ...[
        'crun',
        '--root',
        runtimeState(target.layout),
        '--cgroup-manager',
        'cgroupfs',
        '--log',
        file('log'),
        'exec',
      ],
      ...['--detach', '--pid-file', file('pid'), '--process', file('json')],
      ...(target.subgroup === undefined ? [] : ['--cgroup', target.subgroup]),
      ...(request.tty === undefined ? [] : ['--tty', '--console-socket', file('tty')]),
      target.id,
    ],
    { cwd: '/', env: HELPER_ENV, stdio: ['pipe', 'pipe', 'pipe', 'pipe'], detached: true },
  )
  const control = child.stdio[3] as Duplex
  const abort = () => control.write('kill\n')
  const started = new Promise<void>((resolve, reject) => {
    child.once('error', cause =>
      reject(new Fault('unavailable', 'exec-helper', `exec: ${cause.message}`, { cause })),
    )
    child.once('spawn', resolve)
  })
  const exit = new Promise<Exit>((resolve, reject) => {
    const forget = () => void rm(file('json'), { force: true })
    hearHelper(
      control,
      (word, fields) => {
        if (word === 'pid' || word === 'failed') forget()
        if (word === 'pid' && signal.aborted) abort()
        if (word === 'exit') resolve(parseExit(fields[0], fields[1]))
        if (word !== 'failed') return
        const ending = startFailure(target.id, request, fields.join(' '))
        if (ending instanceof Error) reject(ending)
        else resolve(ending)
      },
      () => {
        forget()
        reject(gone(target.id))
      },
    )
  })
  signal.addEventListener('abort', abort, { once: true })
  child.stdin?.on('error', () => undefined) // A command that never reads its input is forgiven.
  await started
  const [stdout, stderr] = [child.stdout as Readable, child.stderr as Readable]
  if (request.tty !== undefined) stderr.resume()
  const streams = request.tty === undefined ? [stdout, stderr] : [stdout]
  const ended = exit.then(async how => {
    signal.removeEventListener('abort', abort)
    await settleStreams(streams, signal)
    return how
  })
  ended.catch(() => undefined) // The caller's to handle; here only so that an unasked end is no crash.
  return {
    stdin: child.stdin as NonNullable<typeof child.stdin>,
    stdout,
    stderr: request.tty === undefined ? stderr : undefined,
    resize: ({ columns, rows }) => void control.write(`resize\t${columns}\t${rows}\n`),
    exit: ended,
  }
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

// The runtime says in words why it could not start a program; 126 and 127 are what a shell would have answered.
function startFailure(id: string, request: ExecRequest, text: string): Exit | Error {
  if (text.startsWith('container is not running')) return gone(id)
  if (
    /executable file .*not found|No such file or directory/.test(text) &&
    !/container .* does not exist/.test(text)
  ) {
    return { code: 127 }
  }
  if (/Permission denied|exec format error/i.test(text)) return { code: 126 }
  if (/does not exist|not running|is not running/.test(text)) return gone(id)
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
