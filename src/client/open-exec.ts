import { CHANNEL } from '../api/channels.ts'
import type { EntranceGrant } from '../api/entrance.ts'
import type { ExecRequest, ExecStream } from '../core/exec.ts'
import { enter } from './entrance.ts'

/**
 * Runs a command in the environment that the grant is for. As any `Exec`: resolves once the command runs, faults when
 * it cannot. A connection that breaks ends the command; `exit` then rejects with `unavailable`, the outputs err.
 */
export async function openExec(
  grant: EntranceGrant,
  request: ExecRequest,
  signal: AbortSignal,
): Promise<ExecStream> {
  const { channels, opened, ended } = await enter(grant, request, signal)
  const stdin = channels.send(CHANNEL.stdin)
  const stdout = channels.receive(CHANNEL.stdout)
  const stderr = request.tty === undefined ? channels.receive(CHANNEL.stderr) : undefined
  ended.then(
    () => {
      // After an abort the gateway does not send what was left of the outputs.
      stdout.finish()
      stderr?.finish()
    },
    () => undefined, // The connection's end has broken the outputs off already; `exit` says why.
  )
  await opened
  return {
    stdin,
    stdout,
    stderr,
    resize: size => channels.sendJson(CHANNEL.resize, size),
    exit: ended,
  }
}
