import { type Backoff, backoffMs } from '../lib/backoff.ts'
import type { Clock, Millis } from '../lib/clock.ts'

export interface WorkQueueOptions {
  readonly clock: Clock
  /** Per key, after failures. */
  readonly backoff?: Backoff
  /** Over all keys: retries per second that are let through once `burst` are used up. */
  readonly retries?: { readonly perSecond: number; readonly burst: number }
  readonly random?: () => number
}

/**
 * Keys that want attention. A key is handed to one worker at a time; adding it while it waits changes nothing, adding
 * it while it is worked on hands it out once more afterwards. The queue carries no state of the objects: a worker reads
 * the latest when its turn comes.
 */
export class WorkQueue {
  readonly #clock: Clock
  readonly #backoff: Backoff
  readonly #random: () => number
  readonly #perSecond: number
  readonly #burst: number
  /** In order of arrival. */
  readonly #ready = new Set<string>()
  readonly #taken = new Set<string>()
  /** Added while taken. */
  readonly #again = new Set<string>()
  readonly #delayed = new Map<string, { readonly atMs: Millis; readonly cancel: AbortController }>()
  readonly #failures = new Map<string, number>()
  readonly #waiting: ((key: string) => void)[] = []
  #tokens: number
  #tokensAtMs: Millis

  constructor(options: WorkQueueOptions) {
    this.#clock = options.clock
    // As client-go's default: quick first retries, and never longer than a minute apart.
    this.#backoff = options.backoff ?? { baseMs: 50, maxMs: 60_000 }
    this.#random = options.random ?? Math.random
    this.#perSecond = options.retries?.perSecond ?? 20
    this.#burst = options.retries?.burst ?? 100
    this.#tokens = this.#burst
    this.#tokensAtMs = options.clock.now()
  }

  /** Wants attention now; a wait that was planned for it is over. */
  add(key: string): void {
    this.#cancelDelay(key)
    if (this.#taken.has(key)) {
      this.#again.add(key)
      return
    }
    if (this.#ready.has(key)) return
    const worker = this.#waiting.shift()
    if (worker === undefined) {
      this.#ready.add(key)
      return
    }
    this.#taken.add(key)
    worker(key)
  }

  /** Wants attention after `delayMs`, or earlier if somebody adds it; of two delays the shorter one holds. */
  addAfter(key: string, delayMs: Millis): void {
    if (delayMs <= 0) return this.add(key)
    const atMs = this.#clock.now() + delayMs
    const before = this.#delayed.get(key)
    if (before !== undefined && before.atMs <= atMs) return
    this.#cancelDelay(key)
    const cancel = new AbortController()
    this.#delayed.set(key, { atMs, cancel })
    this.#clock.sleep(delayMs, cancel.signal).then(
      () => {
        if (this.#delayed.get(key)?.cancel === cancel) this.add(key)
      },
      () => undefined, // Cancelled: somebody added it earlier, or the queue was closed.
    )
  }

  /** Wants attention once more after a failure; returns when. Each failure in a row doubles the wait. */
  retry(key: string): Millis {
    const failures = (this.#failures.get(key) ?? 0) + 1
    this.#failures.set(key, failures)
    const delayMs = backoffMs(failures, this.#backoff, this.#random) + this.#waitForToken()
    this.addAfter(key, delayMs)
    return delayMs
  }

  /** It went well: the next failure is a first one again. */
  forget(key: string): void {
    this.#failures.delete(key)
  }

  failures(key: string): number {
    return this.#failures.get(key) ?? 0
  }

  /** When a delayed key is due; undefined when nothing is planned. */
  dueAt(key: string): Millis | undefined {
    return this.#delayed.get(key)?.atMs
  }

  /** The next key; whoever takes it calls `done`. Undefined as soon as `signal` aborts. */
  take(signal: AbortSignal): Promise<string | undefined> {
    if (signal.aborted) return Promise.resolve(undefined)
    const [first] = this.#ready
    if (first !== undefined) {
      this.#ready.delete(first)
      this.#taken.add(first)
      return Promise.resolve(first)
    }
    return new Promise(resolve => {
      const worker = (key: string) => {
        signal.removeEventListener('abort', leave)
        resolve(key)
      }
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(worker), 1)
        resolve(undefined)
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.push(worker)
    })
  }

  done(key: string): void {
    this.#taken.delete(key)
    if (this.#again.delete(key)) this.add(key)
  }

  /** Cancels what is delayed, so that no timer outlives the queue. */
  close(): void {
    for (const { cancel } of this.#delayed.values()) cancel.abort()
    this.#delayed.clear()
  }

  #cancelDelay(key: string): void {
    this.#delayed.get(key)?.cancel.abort()
    this.#delayed.delete(key)
  }

  /** A token bucket that may go into debt: whoever comes later waits longer. */
  #waitForToken(): Millis {
    const now = this.#clock.now()
    const gained = ((now - this.#tokensAtMs) / 1000) * this.#perSecond
    this.#tokens = Math.min(this.#burst, this.#tokens + gained) - 1
    this.#tokensAtMs = now
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens / this.#perSecond) * 1000)
  }
}
