import type { Millis } from './clock.ts'

export interface Backoff {
  /** The wait before the first retry. */
  readonly baseMs: Millis
  readonly maxMs: Millis
}

/**
 * How long to wait before retry number `attempt` (1 is the first): doubles each time up to `maxMs`, then a random part
 * of up to a half is taken off, so that those who failed together do not come back together.
 */
export function backoffMs(
  attempt: number,
  { baseMs, maxMs }: Backoff,
  random: () => number = Math.random,
): Millis {
  // 2 ** 30 is beyond any maxMs in milliseconds; larger exponents would only end in Infinity.
  const full = Math.min(maxMs, baseMs * 2 ** Math.min(Math.max(attempt, 1) - 1, 30))
  return Math.round(full * (1 - random() / 2))
}
