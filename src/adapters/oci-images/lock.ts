import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Fault } from '../../lib/fault.ts'

// flock(1) leaves with this code when --nonblock meets a lock that somebody else holds.
const HELD_ELSEWHERE = 75

/**
 * Holds the kernel's lock on a file, against other processes and against other callers in this one. `flock FILE cat`
 * keeps the lock for as long as its standard input is open: when this process dies, however it dies, the pipe closes,
 * `cat` ends and the lock is free. So there are no stale locks to recognize and no pids to compare.
 */
export interface FileLock {
  release(): Promise<void>
}

/** Waits for the lock; `onWait` is called once if somebody else holds it. */
export async function acquireLock(file: string, onWait: () => void, signal: AbortSignal): Promise<FileLock> {
  const lock = await tryLock(file, signal)
  if (lock !== undefined) return lock
  onWait()
  const waited = await openLock(file, [], signal)
  if (waited === undefined) throw new Fault('internal', 'lock-lost', `lock ${file}: flock gave up waiting`)
  return waited
}

/** The lock, or undefined when somebody else holds it. */
export function tryLock(file: string, signal: AbortSignal): Promise<FileLock | undefined> {
  return openLock(file, ['--nonblock', '--conflict-exit-code', String(HELD_ELSEWHERE)], signal)
}

async function openLock(file: string, options: string[], signal: AbortSignal): Promise<FileLock | undefined> {
  signal.throwIfAborted()
  // A group of its own: Ctrl-C at the terminal must not free the lock before this process has cleaned up.
  const child = spawn('flock', ['--exclusive', ...options, file, 'cat'], {
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', code => resolve(code ?? -1))
  })
  const kill = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // Gone already, which is what was wanted.
    }
  }
  // flock may leave before it reads what is written; its exit code tells.
  child.stdin.on('error', () => undefined)
  signal.addEventListener('abort', kill, { once: true })
  try {
    // What `cat` echoes proves that flock has the lock and has started it.
    child.stdin.write('\n')
    const code = await Promise.race([once(child.stdout, 'data').then(() => undefined), ended])
    signal.throwIfAborted()
    if (code === HELD_ELSEWHERE) return undefined
    if (code !== undefined) throw new Fault('internal', 'lock-failed', `lock ${file}: flock exit ${code}`)
  } catch (cause) {
    kill()
    if (isMissing(cause)) {
      const hint = "install the package 'util-linux'"
      throw new Fault('unsupported', 'lock-program-missing', 'run flock: not installed', { cause, hint })
    }
    throw cause
  } finally {
    signal.removeEventListener('abort', kill)
  }
  return {
    async release() {
      child.stdin.end()
      await ended
    },
  }
}

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
}
