import type { Millis } from './clock.ts'

/**
 * For loops whose steps wait for nothing, over thousands of things: `next` gives everybody else a turn of the event loop
 * whenever the loop has had the thread for `mostMs`. Without it, a loop of awaits that are kept at once is one long stall.
 */
export class Turns {
  readonly #mostMs: Millis
  #sinceMs: number

  constructor(mostMs: Millis = 5) {
    this.#mostMs = mostMs
    this.#sinceMs = performance.now()
  }

  async next(): Promise<void> {
    if (performance.now() - this.#sinceMs < this.#mostMs) return
    await new Promise<void>(resolve => setImmediate(resolve))
    this.#sinceMs = performance.now()
  }
}
