import type { Clock, Millis } from './clock.ts'
import { Fault } from './fault.ts'

/** Runs work when it is its turn; see `createLimiter`. */
export type Limiter = <T>(
  work: () => Promise<T>,
  signal: AbortSignal,
  onWait?: (before: number) => void,
) => Promise<T>

/**
 * At most `most` pieces of work at a time, first come, first served. Whoever waits hears about it whenever it comes nearer,
 * and every `tellMs`. Faults with `cancelled` when `signal` aborts before its turn.
 */
export function createLimiter(most: number, clock: Clock, tellMs: Millis = 30_000): Limiter {
  let running = 0
  const waiting: { readonly start: () => void; readonly tell: () => void }[] = []
  const next = () => {
    running -= 1
    waiting.shift()?.start()
    for (const each of waiting) each.tell()
  }

  const turn = async (signal: AbortSignal, onWait: (before: number) => void): Promise<void> => {
    if (running < most) return void (running += 1)
    const mine = Promise.withResolvers<void>()
    const over = new AbortController()
    const entry = {
      // Counted at once: whoever comes now must not take the place.
      start: () => {
        running += 1
        mine.resolve()
      },
      tell: () => onWait(waiting.indexOf(entry)),
    }
    const leave = () => {
      const at = waiting.indexOf(entry)
      if (at < 0) return
      waiting.splice(at, 1)
      mine.reject(new Fault('cancelled', 'turn-cancelled', 'wait for a turn: cancelled'))
    }
    waiting.push(entry)
    signal.addEventListener('abort', leave, { once: true })
    const remind = async () => {
      for (;;) {
        entry.tell()
        await clock.sleep(tellMs, over.signal)
      }
    }
    remind().catch(() => undefined) // Its turn has come.
    try {
      await mine.promise
    } finally {
      over.abort()
      signal.removeEventListener('abort', leave)
    }
  }

  return async (work, signal, onWait = () => undefined) => {
    if (signal.aborted) throw new Fault('cancelled', 'turn-cancelled', 'wait for a turn: cancelled')
    await turn(signal, onWait)
    try {
      return await work()
    } finally {
      next()
    }
  }
}
