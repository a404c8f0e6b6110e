// A word to the people at an environment's terminals, from outside: a line that no program inside has written.
import type { Readable } from 'node:stream'
import type { SandboxId } from '../../core/driver.ts'
import type { Exec, ExecStream } from '../../core/exec.ts'

export interface Notices {
  /** The same exec, whose commands are told what `say` says while they run. */
  attached(id: SandboxId, exec: Exec): Exec
  /** In every terminal of the environment; of commands without one, among what they say of errors. One line. */
  say(id: SandboxId, line: string): void
}

export function createNotices(): Notices {
  const open = new Map<SandboxId, Set<ExecStream>>()
  return {
    attached: (id, exec) => async (request, signal) => {
      const stream = await exec(request, signal)
      const streams = open.get(id) ?? new Set()
      open.set(id, streams.add(stream))
      const leave = () => {
        streams.delete(stream)
        if (streams.size === 0 && open.get(id) === streams) open.delete(id)
      }
      stream.exit.then(leave, leave)
      return stream
    },
    say(id, line) {
      // What an environment calls its processes is its own: nothing of that may move a cursor or ring a bell.
      const clean = line.replace(/[^\x20-\x7e]/g, '?')
      for (const { stdout, stderr } of open.get(id) ?? [])
        if (stderr === undefined) put(stdout, `\r\n\x1b[33m${clean}\x1b[0m\r\n`)
        else put(stderr, `${clean}\n`)
    },
  }
}

// Before what was not read yet, instead of through a stream of its own: that would cost every key press.
function put(stream: Readable, text: string): void {
  if (!stream.readableEnded && !stream.destroyed && stream.readable) stream.unshift(Buffer.from(text))
}
