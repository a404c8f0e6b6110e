import { pipeline } from 'node:stream/promises'
import { CHANNEL } from '../api/channels.ts'
import type { ChannelSocket } from '../client/channel-socket.ts'
import type { Exec, ExecRequest, Exit, TtySize } from '../core/exec.ts'

export type ResizeListener = (size: TtySize) => void

/** What the schema yields: absent and undefined are one there. */
type Asked = { readonly [N in keyof ExecRequest]: ExecRequest[N] | undefined } & Pick<ExecRequest, 'argv'>

/** Runs the command between the channels; resolves with its end when all its output was handed to the connection. */
export async function serveExec(
  channels: ChannelSocket,
  exec: Exec,
  asked: Asked,
  onResize: (listener: ResizeListener) => void,
  signal: AbortSignal,
): Promise<Exit> {
  const stream = await exec(requestOf(asked), signal)
  onResize(size => stream.resize(size))
  // Commands may end without having read their input, or be aborted: a broken pipe is not a failure.
  pipeline(channels.receive(CHANNEL.stdin), stream.stdin).catch(() => undefined)
  // After an abort the rest is not waited for: nobody may be reading it.
  const outputs = [
    pipeline(stream.stdout, channels.send(CHANNEL.stdout), { signal }),
    ...(stream.stderr === undefined
      ? []
      : [pipeline(stream.stderr, channels.send(CHANNEL.stderr), { signal })]),
  ]
  // Awaited below; a sandbox that is lost breaks them first.
  const handedOver = Promise.allSettled(outputs)
  const exit = await stream.exit
  await handedOver
  return exit
}

function requestOf({ argv, cwd, user, env, tty }: Asked): ExecRequest {
  return {
    argv,
    ...(cwd === undefined ? {} : { cwd }),
    ...(user === undefined ? {} : { user }),
    ...(env === undefined ? {} : { env }),
    ...(tty === undefined ? {} : { tty }),
  }
}
