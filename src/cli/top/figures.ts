// Figures as narrow columns show them.
const UNITS = ['', 'K', 'M', 'G', 'T', 'P'] as const
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const

/** `0`, `812`, `1.5K`, `340M`, `12G`: powers of 1024, three digits at most. */
export function compact(bytes: number): string {
  let value = Math.max(0, bytes)
  let unit = 0
  // 999.5 would be written with four digits.
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  const digits = unit > 0 && value < 9.95 ? value.toFixed(1) : String(Math.round(value))
  return `${digits}${UNITS[unit]}`
}

/** `12%`; nothing at all where nothing was measured. */
export function percent(share: number | undefined): string {
  return share === undefined ? '' : `${Math.round(share * 100)}%`
}

/** A bar of `width` cells, filled in eighths. What uses anything at all shows something. */
export function bar(share: number, width: number): string {
  const bounded = Math.min(1, Math.max(0, share))
  const eighths = bounded > 0 ? Math.max(1, Math.round(bounded * width * 8)) : 0
  const text = '█'.repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8]
  return text.padEnd(width)
}
