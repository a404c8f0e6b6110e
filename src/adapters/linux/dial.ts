import { spawn } from 'node:child_process'
import type { Duplex } from 'node:stream'
import { Fault } from '../../lib/fault.ts'
import { HELPER_ENV, helperPath } from './helper.ts'

const DIAL = helperPath('dial.pl')

/** Connects to a TCP port inside, loopback-only ones too. Faults with `unavailable` when nobody listens. */
export function dialInside(pid: number, port: number, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const child = spawn('perl', [DIAL, String(pid), String(port)], {
      cwd: '/',
      env: HELPER_ENV,
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    })
    const refuse = (why: string, cause?: unknown) =>
      reject(
        new Fault('unavailable', 'port-refused', `dial port ${port}: ${why}`, {
          cause,
          hint: 'is something listening on it?',
        }),
      )
    const abort = () => void child.kill('SIGKILL')
    signal.addEventListener('abort', abort, { once: true })
    child.once('error', cause => refuse(cause.message, cause))
    child.once('exit', code => {
      signal.removeEventListener('abort', abort)
      refuse(code === 3 ? 'nobody listens' : `the connection could not be made (${code})`)
    })
    // One line once the connection stands; nothing before it is the peer's.
    child.stderr?.once('data', (text: Buffer) => {
      if (!text.toString().startsWith('connected')) return
      resolve(child.stdio[3] as Duplex)
    })
  })
}
