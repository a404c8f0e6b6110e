import type { Millis } from './clock.ts'

/** For loops beside which keys are handed on: one waits for so long, and for one more step of the loop, at most. */
export const SHORT_TURN_MS: Millis = 1

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
