// Who is at the entrances of an environment, and when it was last heard: two numbers each, kept as bytes pass by.
import { Writable } from 'node:stream'
import type { SandboxId } from '../../core/driver.ts'
import type { Exec } from '../../core/exec.ts'
import type { Millis } from '../../lib/clock.ts'

export interface Seen {
  /** By `performance.now()`. Undefined: not since this runner began. */
  readonly heardMs: Millis | undefined
  /** The same of what was typed at terminals. */
  readonly typedMs: Millis | undefined
  readonly connections: number
  /** Those of them that are terminals. */
  readonly terminals: number
}

export interface Activity {
  of(id: SandboxId): Seen
  /** Somebody sends something to it; `typed`: at a terminal. */
  heard(id: SandboxId, typed?: boolean): void
  /** Somebody came in, to a terminal or not; what it returns says that they left, once. */
  entered(id: SandboxId, toTerminal?: boolean): () => void
  /** The same exec, counted: a command is a connection, its input is heard. */
  counted(id: SandboxId, exec: Exec): Exec
  /**
   * Called before what was heard goes on its way, also of each who comes in; when it was typed, with how long nobody had
   * typed before. Returns what ends it.
   */
  onHeard(listener: (id: SandboxId, restedMs: Millis | undefined) => void): () => void
  forget(id: SandboxId): void
}

const NOBODY: Seen = { heardMs: undefined, typedMs: undefined, connections: 0, terminals: 0 }

export function createActivity(now: () => Millis = () => performance.now()): Activity {
  const seen = new Map<SandboxId, { -readonly [N in keyof Seen]: Seen[N] }>()
  const listeners = new Set<(id: SandboxId, restedMs: Millis | undefined) => void>()

  const heard = (id: SandboxId, typed = false) => {
    const atMs = now()
    const known = seen.get(id) ?? { ...NOBODY }
    seen.set(id, known)
    known.heardMs = atMs
    const restedMs = typed ? atMs - (known.typedMs ?? Number.NEGATIVE_INFINITY) : undefined
    if (typed) known.typedMs = atMs
    for (const listener of listeners) listener(id, restedMs)
  }
  const entered = (id: SandboxId, toTerminal = false) => {
    heard(id)
    const known = seen.get(id)
    const count = (by: 1 | -1) => {
      if (known === undefined) return
      known.connections += by
      if (toTerminal) known.terminals += by
    }
    count(1)
    let left = false
    return () => {
      if (left || known === undefined) return
      left = true
      count(-1)
      known.heardMs = now()
    }
  }

  return {
    of: id => seen.get(id) ?? NOBODY,
    heard,
    entered,
    counted: (id, exec) => async (request, signal) => {
      const leave = entered(id, request.tty !== undefined)
      try {
        const stream = await exec(request, signal)
        stream.exit.then(leave, leave)
        return {
          ...stream,
          stdin: listening(stream.stdin, () => heard(id, request.tty !== undefined)),
          resize: size => stream.resize(size),
        }
      } catch (error) {
        leave()
        throw error
      }
    },
    onHeard(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    forget: id => void seen.delete(id),
  }
}

/** Hands everything on to `target`, and says so before. */
function listening(target: Writable, heard: () => void): Writable {
  const outer = new Writable({
    decodeStrings: true,
    write(chunk: Buffer, _encoding, done) {
      heard()
      target.write(chunk, done)
    },
    final: done => void target.end(done),
    destroy(error, done) {
      target.destroy(error ?? undefined)
      done(error)
    },
  })
  // Commands end without having read their input: whoever writes learns it, and nobody else need listen.
  outer.on('error', () => undefined)
  target.on('error', error => outer.destroy(error))
  target.on('close', () => outer.destroy())
  return outer
}
