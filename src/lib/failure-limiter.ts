import { isIPv6 } from 'node:net'
import type { Clock } from './clock.ts'

const BURST = 20
const REFILL_MS = 3_000
// Bounds the memory that an attacker with many addresses can make us use.
const MAX_SOURCES = 10_000

export interface FailureLimiter {
  /** How long this source has to wait before it is listened to again; 0 = go on. */
  waitMs(address: string): number
  /** Counts one failed attempt. */
  fail(address: string): void
}

/** Admits 20 failed attempts at once from one source, then one in three seconds. */
export function createFailureLimiter(clock: Clock): FailureLimiter {
  // The moment at which a source's failures are all forgiven; each failure moves it by REFILL_MS.
  const forgivenAt = new Map<string, number>()
  return {
    waitMs: address => {
      const debt = (forgivenAt.get(sourceOf(address)) ?? 0) - clock.now()
      return Math.max(0, debt - (BURST - 1) * REFILL_MS)
    },
    fail: address => {
      const source = sourceOf(address)
      const from = Math.max(forgivenAt.get(source) ?? 0, clock.now())
      // Deleted first, so that the map's order is the order of the latest failures and the oldest is dropped.
      forgivenAt.delete(source)
      forgivenAt.set(source, from + REFILL_MS)
      if (forgivenAt.size > MAX_SOURCES) forgivenAt.delete(forgivenAt.keys().next().value!)
    },
  }
}

/** One customer usually has a whole IPv6 /64: counting single addresses there would count nothing. */
export function sourceOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '')
  if (!isIPv6(plain)) return plain
  const [head = '', tail] = plain.split('%')[0]!.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length
  return [...left, ...Array<string>(Math.max(0, zeros)).fill('0'), ...right]
    .slice(0, 4)
    .map(group => group.replace(/^0+(?=.)/, '').toLowerCase())
    .join(':')
}
