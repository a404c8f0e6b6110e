import type { Millis } from '../../../lib/clock.ts'

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
  ['s', 1],
] as const

/**
 * A duration as kubectl's tables show ages: two units while the larger one is small (`90s`, `5m10s`, `3h5m`, `6d2h`),
 * one afterwards (`42m`, `12h`, `30d`).
 */
export function formatAge(ageMs: Millis): string {
  const seconds = Math.max(0, Math.floor(ageMs / 1000))
  if (seconds < 120) return `${seconds}s`
  const at = UNITS.findIndex(([, size]) => seconds >= size)
  const [unit, size] = UNITS[seconds < 3 * 3_600 ? 2 : Math.max(at, 0)] ?? UNITS[3]
  const count = Math.floor(seconds / size)
  const next = UNITS[UNITS.findIndex(([name]) => name === unit) + 1]
  if (next === undefined || count >= 10) return `${count}${unit}`
  const rest = Math.floor((seconds % size) / next[1])
  return rest === 0 ? `${count}${unit}` : `${count}${unit}${rest}${next[0]}`
}
