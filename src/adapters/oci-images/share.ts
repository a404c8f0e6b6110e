import type { OnProgress } from '../../core/images.ts'
import { Fault } from '../../lib/fault.ts'

type Work<T> = (onProgress: OnProgress, signal: AbortSignal) => Promise<T>

interface Running<T> {
  readonly promise: Promise<T>
  readonly abort: AbortController
  readonly listeners: Set<OnProgress>
  last: string | undefined
}

/**
 * Runs one piece of work per key however many ask for it at once. Everybody hears its progress; who aborts leaves
 * alone, and the work itself is aborted when the last one has left.
 */
export class Sharing<T> {
  readonly #running = new Map<string, Running<T>>()

  async run(key: string, onProgress: OnProgress, signal: AbortSignal, work: Work<T>): Promise<T> {
    if (signal.aborted) throw cancelled(key)
    const running = this.#running.get(key) ?? this.#start(key, work)
    const listener: OnProgress = message => onProgress(message)
    if (running.last !== undefined) listener(running.last)
    running.listeners.add(listener)
    let leave: (() => void) | undefined
    const left = new Promise<never>((_, reject) => {
      leave = () => reject(cancelled(key))
      signal.addEventListener('abort', leave, { once: true })
    })
    try {
      return await Promise.race([running.promise, left])
    } finally {
      if (leave !== undefined) signal.removeEventListener('abort', leave)
      running.listeners.delete(listener)
      if (running.listeners.size === 0) {
        running.abort.abort()
        if (this.#running.get(key) === running) this.#running.delete(key)
        // Whoever aborted waits for the end: afterwards nothing of it runs any more.
        await running.promise.catch(() => undefined)
      }
    }
  }

  #start(key: string, work: Work<T>): Running<T> {
    const abort = new AbortController()
    const listeners = new Set<OnProgress>()
    const tell: OnProgress = message => {
      running.last = message
      for (const listener of listeners) listener(message)
    }
    const promise = Promise.resolve()
      .then(() => work(tell, abort.signal))
      .finally(() => {
        if (this.#running.get(key) === running) this.#running.delete(key)
      })
    const running: Running<T> = { promise, abort, listeners, last: undefined }
    // Everyone who waits sees the failure; with nobody left it is an abort's own echo.
    promise.catch(() => undefined)
    this.#running.set(key, running)
    return running
  }
}

function cancelled(key: string): Fault {
  return new Fault('cancelled', 'image-cancelled', `prepare image ${key}: cancelled`)
}
