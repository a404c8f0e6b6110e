import { spawn } from 'node:child_process'
import { Fault } from './fault.ts'

export interface ProcessResult {
  readonly code: number
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface ProcessOptions {
  readonly input?: string | Uint8Array
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly signal?: AbortSignal
  readonly uid?: number
  readonly gid?: number
  /** Called with each complete line that the process writes to either stream. */
  readonly onLine?: (line: string) => void
}

// What is kept of each stream; a tool that prints more than this prints for nobody.
const KEEP_BYTES = 1 << 20

/**
 * Runs one program to its end. `argv` is never seen by a shell. A program that cannot be started is a fault
 * (`unavailable`, code `program-missing`); a non-zero exit is a value. Aborting kills the whole process group.
 */
export function runProcess(
  argv: readonly [string, ...string[]],
  options: ProcessOptions = {},
): Promise<ProcessResult> {
  const [file, ...args] = argv
  return new Promise((resolve, reject) => {
    if (options.signal?.aborted)
      return reject(new Fault('cancelled', 'process-cancelled', `run ${file}: cancelled`))
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      uid: options.uid,
      gid: options.gid,
      detached: true,
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    })
    const kill = () => {
      // The group, not the child alone: its children hold our pipes and `close` would wait for the last of them.
      if (child.pid !== undefined) {
        try {
          process.kill(-child.pid, 'SIGKILL')
        } catch {
          // Gone already, which is what was wanted.
        }
      }
    }
    options.signal?.addEventListener('abort', kill, { once: true })
    const out = collect(child.stdout, options.onLine)
    const err = collect(child.stderr, options.onLine)
    child.once('error', cause => {
      options.signal?.removeEventListener('abort', kill)
      const hint = `install the program '${file}' or put it on PATH; 'bothy doctor' lists what is needed`
      reject(new Fault('unavailable', 'program-missing', `run ${file}: ${cause.message}`, { cause, hint }))
    })
    child.once('close', (code, signal) => {
      options.signal?.removeEventListener('abort', kill)
      if (options.signal?.aborted)
        return reject(new Fault('cancelled', 'process-cancelled', `run ${file}: cancelled`))
      resolve({ code: code ?? -1, signal, stdout: out(), stderr: err() })
    })
    if (options.input !== undefined) {
      // A program that never reads its input closes the pipe; that is its business.
      child.stdin?.on('error', () => undefined)
      child.stdin?.end(options.input)
    }
  })
}

/** As `runProcess`, but a non-zero exit is an `internal` fault with code `process-failed` and the last line of stderr. */
export async function mustRun(
  argv: readonly [string, ...string[]],
  options: ProcessOptions = {},
): Promise<string> {
  const result = await runProcess(argv, options)
  if (result.code === 0) return result.stdout
  const said = result.stderr.trim().split('\n').slice(-3).join('; ')
  throw new Fault('internal', 'process-failed', `${argv.slice(0, 4).join(' ')}: exit ${result.code}: ${said}`)
}

function collect(stream: NodeJS.ReadableStream | null, onLine?: (line: string) => void): () => string {
  let text = ''
  let rest = ''
  stream?.setEncoding('utf8')
  stream?.on('data', (chunk: string) => {
    text = (text + chunk).slice(-KEEP_BYTES)
    if (onLine === undefined) return
    const lines = (rest + chunk).split(/[\r\n]+/)
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  })
  stream?.on('end', () => {
    if (onLine !== undefined && rest !== '') onLine(rest)
  })
  return () => text
}
