import type { Clock, Millis } from './clock.ts'

/** A clock for tests: time stands still until `advance`. */
export interface ManualClock extends Clock {
  /** Moves time on and wakes whoever is due, in order; resolves after they have had their turn. */
  advance(ms: Millis): Promise<void>
  /** How many are asleep. */
  readonly sleepers: number
}

export function createManualClock(startMs: Millis = Date.UTC(2030, 0, 1)): ManualClock {
  let now = startMs
  const sleepers = new Set<{ atMs: Millis; wake: () => void }>()
  // A macrotask lets every promise that is ready run first.
  const breathe = () => new Promise<void>(resolve => setImmediate(resolve))
  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const aborted = () => new DOMException('the operation was aborted', 'AbortError')
        if (signal?.aborted) return reject(aborted())
        const leave = () => {
          sleepers.delete(sleeper)
          reject(aborted())
        }
        const sleeper = {
          atMs: now + ms,
          wake: () => {
            signal?.removeEventListener('abort', leave)
            resolve()
          },
        }
        signal?.addEventListener('abort', leave, { once: true })
        sleepers.add(sleeper)
      }),
    async advance(ms) {
      const until = now + ms
      await breathe()
      for (;;) {
        const next = [...sleepers].sort((a, b) => a.atMs - b.atMs)[0]
        if (next === undefined || next.atMs > until) break
        now = Math.max(now, next.atMs)
        sleepers.delete(next)
        next.wake()
        await breathe()
      }
      now = until
      await breathe()
    },
    get sleepers() {
      return sleepers.size
    },
  }
}
