// The server as a child of `bothy up`: a process of its own, so that it can give root away, and so that neither of the
// two takes the other with it when it dies.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import { Fault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import { PROGRAM } from './paths.ts'
import type { ServerReady } from './server.ts'

const BACKOFF = { baseMs: 200, maxMs: 10_000 }
// PostgreSQL gets its time to write what it has; a server that hangs for longer than that does not hang the others.
const STOP_MS: Millis = 30_000

export interface ServerProcess {
  readonly ready: ServerReady
  /** Asks it to end and waits. */
  stop(): Promise<void>
}

/** Starts the server and keeps it running: one that dies is started again, at the same address. */
export async function startServerProcess(
  args: readonly string[],
  { log, clock, signal }: { log: Log; clock: Clock; signal: AbortSignal },
): Promise<ServerProcess> {
  const ending = new AbortController()
  let child = spawnServer(args)
  const ready = await firstWord(child, signal)
  const { host } = new URL(ready.url)
  const again = [...withoutListen(args), '--listen', host]
  const supervise = async () => {
    for (let failures = 0; ; ) {
      const startedMs = clock.now()
      const [code, killedBy] =
        child.exitCode === null && child.signalCode === null
          ? ((await once(child, 'exit')) as [number, string])
          : [child.exitCode, child.signalCode]
      if (ending.signal.aborted) return
      failures = clock.now() - startedMs > 60_000 ? 1 : failures + 1
      log.error({ code, killedBy }, 'the server ended; starting it again')
      await clock.sleep(backoffMs(failures, BACKOFF), ending.signal).catch(() => undefined) // Aborted: seen below.
      if (ending.signal.aborted) return
      child = spawnServer(again)
    }
  }
  const supervised = supervise()
  return {
    ready,
    async stop() {
      ending.abort()
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      const stopped = new AbortController()
      const patience = clock.sleep(STOP_MS, stopped.signal).then(
        () => {
          log.error('the server does not end; killing it. Its database is found again by the next one')
          child.kill('SIGKILL')
        },
        () => undefined, // It ended in time.
      )
      await supervised
      stopped.abort()
      await patience
    },
  }
}

function spawnServer(args: readonly string[]): ChildProcess {
  // A group of its own: ^C is for us, and we end the server after the runner.
  // Its everyday lines would bury what `up` has to say.
  const env = { ...process.env, BOTHY_LOG: process.env['BOTHY_LOG'] ?? 'warn' }
  return spawn(process.execPath, [PROGRAM, 'server', ...args], {
    env,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    detached: true,
  })
}

async function firstWord(child: ChildProcess, signal: AbortSignal): Promise<ServerReady> {
  const kill = () => void child.kill('SIGTERM')
  signal.addEventListener('abort', kill, { once: true })
  try {
    return await new Promise<ServerReady>((resolve, reject) => {
      child.once('message', message => resolve(message as ServerReady))
      child.once('error', reject)
      child.once('exit', code =>
        reject(
          new Fault(
            'unavailable',
            'server-not-started',
            `start the server: it ended with ${code ?? 'a signal'}`,
            {
              hint: 'what it said stands above',
            },
          ),
        ),
      )
    })
  } finally {
    signal.removeEventListener('abort', kill)
  }
}

function withoutListen(args: readonly string[]): string[] {
  const at = args.indexOf('--listen')
  return at < 0 ? [...args] : [...args.slice(0, at), ...args.slice(at + 2)]
}
