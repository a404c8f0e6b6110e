import type { Millis } from '../../lib/clock.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** An age as `kubectl get` writes it: `5s`, `3m`, `2h15m`, `4d`; finer where the number is small. */
export function formatAge(ms: Millis): string {
  if (!Number.isFinite(ms)) return '<unknown>'
  if (ms < 2 * MINUTE) return `${Math.max(0, Math.floor(ms / SECOND))}s`
  if (ms < 10 * MINUTE) return pair(ms, MINUTE, 'm', SECOND, 's')
  if (ms < 3 * HOUR) return `${Math.floor(ms / MINUTE)}m`
  if (ms < 8 * HOUR) return pair(ms, HOUR, 'h', MINUTE, 'm')
  if (ms < 2 * DAY) return `${Math.floor(ms / HOUR)}h`
  if (ms < 8 * DAY) return pair(ms, DAY, 'd', HOUR, 'h')
  if (ms < 2 * 365 * DAY) return `${Math.floor(ms / DAY)}d`
  if (ms < 8 * 365 * DAY) return pair(ms, 365 * DAY, 'y', DAY, 'd')
  return `${Math.floor(ms / (365 * DAY))}y`
}

function pair(ms: Millis, big: Millis, bigUnit: string, small: Millis, smallUnit: string): string {
  const rest = Math.floor((ms % big) / small)
  const whole = `${Math.floor(ms / big)}${bigUnit}`
  return rest === 0 ? whole : `${whole}${rest}${smallUnit}`
}

/** How long something took: `3 ms`, `1.24 s`, `2 min 5 s`. */
export function formatDuration(ms: Millis): string {
  if (!Number.isFinite(ms)) return '?'
  const positive = Math.max(0, ms)
  if (positive < SECOND) return `${Math.round(positive)} ms`
  if (positive < 10 * SECOND) return `${(positive / SECOND).toFixed(2)} s`
  if (positive < MINUTE) return `${(positive / SECOND).toFixed(1)} s`
  return `${Math.floor(positive / MINUTE)} min ${Math.floor((positive % MINUTE) / SECOND)} s`
}

/** Binary units, as people read sizes: `12.3 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}
