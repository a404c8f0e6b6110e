import { type Millis, systemClock } from '../../lib/clock.ts'

const BURST = 8
const WINDOW_MS: Millis = 100
const GAP_MS: Millis = 20

/**
 * Lets a burst pass as it comes and spaces out what is more: up to 8 turns in 100 ms at once, later ones at least 20 ms
 * apart. A reader that is woken by every commit then carries several changes at a time to each of its watchers, and the
 * write to a watcher's socket is what a change costs most of.
 */
export class Pace {
  // In turns: the time of the turn before the last seven.
  readonly #turns: Millis[] = Array.from({ length: BURST }, () => Number.NEGATIVE_INFINITY)
  #next = 0

  /** How long the turn that wants to begin at `nowMs` has to wait. Pure. */
  delayMs(nowMs: Millis): Millis {
    const oldest = this.#turns[this.#next]!
    if (nowMs - oldest >= WINDOW_MS) return 0
    const latest = this.#turns[(this.#next + BURST - 1) % BURST]!
    return Math.max(0, latest + GAP_MS - nowMs)
  }

  /** Notes a turn. */
  took(nowMs: Millis): void {
    this.#turns[this.#next] = nowMs
    this.#next = (this.#next + 1) % BURST
  }

  /** Waits for the next turn. In real time, whatever the caller's clock says: this spares the processor, no more. */
  async turn(signal: AbortSignal): Promise<void> {
    const waitMs = this.delayMs(performance.now())
    // Rejects only because of the abort, which the caller sees.
    if (waitMs > 0) await systemClock.sleep(waitMs, signal).catch(() => undefined)
    this.took(performance.now())
  }
}
