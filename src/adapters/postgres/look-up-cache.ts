import type { Clock, Millis } from '../../lib/clock.ts'

// Notifications clear the cache within milliseconds. This is for the connection that is dead and does not know it yet.
const KEEP_MS: Millis = 15_000
const MOST = 4_096

interface Entry<V> {
  readonly value: V
  readonly untilMs: Millis
}

/**
 * Remembers what was found, never that nothing was. What a notification says to be outdated is forgotten at once; while
 * notifications cannot be heard, nothing is remembered. An entry lives 15 s at most.
 */
export class LookUpCache<V> {
  readonly #clock: Clock
  readonly #entries = new Map<string, Entry<V>>()
  #generation = 0
  #isListening = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Something has changed, or may have. */
  clear(): void {
    this.#generation++
    this.#entries.clear()
  }

  /** Whether changes are heard of from now on. */
  listening(isListening: boolean): void {
    this.clear()
    this.#isListening = isListening
  }

  async get(key: string, read: () => Promise<V | undefined>): Promise<V | undefined> {
    const known = this.#entries.get(key)
    if (known !== undefined && known.untilMs > this.#clock.now()) return known.value
    const generation = this.#generation
    const value = await read()
    // What was read before a change must not be remembered after it.
    if (value === undefined || !this.#isListening || generation !== this.#generation) return value
    if (this.#entries.size >= MOST) this.#entries.delete(this.#entries.keys().next().value!)
    this.#entries.set(key, { value, untilMs: this.#clock.now() + KEEP_MS })
    return value
  }
}
