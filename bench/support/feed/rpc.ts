// Load comes from processes of their own, so that what they cost is not counted as the server's. Each offers a few
// calls, and its parent awaits them.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

type Calls = Readonly<Record<string, (input: never) => unknown>>

interface Request {
  readonly id: number
  readonly call: string
  readonly input: unknown
}

interface Reply {
  readonly id: number
  readonly output?: unknown
  readonly error?: string
}

/** In the child: answers calls until the parent goes. */
export function offer(calls: Calls): void {
  process.on('disconnect', () => process.exit())
  process.on('message', (message: Request) => {
    const call = calls[message.call] as ((input: unknown) => unknown) | undefined
    Promise.resolve()
      .then(() => call?.(message.input))
      .then(
        output => process.send?.({ id: message.id, output } satisfies Reply),
        (error: unknown) =>
          process.send?.({ id: message.id, error: String((error as Error).stack ?? error) } satisfies Reply),
      )
  })
}

/** In the parent: a child and its calls, by name. */
export class LoadProcess {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>()
  #calls = 0

  constructor(program: URL) {
    this.#child = fork(program, { serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child.on('message', (message: Reply) => {
      const waiting = this.#waiting.get(message.id)
      this.#waiting.delete(message.id)
      if (message.error === undefined) waiting?.resolve(message.output)
      else waiting?.reject(new Error(message.error))
    })
    this.#child.on('exit', code => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`${program.pathname} ended with ${code}`))
    })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  call<T>(call: string, input?: unknown): Promise<T> {
    const id = this.#calls++
    const waiting = Promise.withResolvers<unknown>()
    this.#waiting.set(id, waiting)
    this.#child.send({ id, call, input } satisfies Request)
    return waiting.promise as Promise<T>
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.disconnect()
    await gone
  }
}
