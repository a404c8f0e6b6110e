// What the kernel says in its files, pure.
import type { Stalls } from '../../../core/governor/sample.ts'

/** The number after `key ` at the start of a line; undefined where there is none. */
export function keyed(text: string, key: string): number | undefined {
  let at = 0
  if (!text.startsWith(`${key} `)) {
    at = text.indexOf(`\n${key} `) + 1
    if (at === 0) return undefined
  }
  const number = Number.parseInt(text.slice(at + key.length + 1), 10)
  return Number.isNaN(number) ? undefined : number
}

/** A file of one number. `max`, and what version 1 says in its place (nearly 2^63), is Infinity. */
export function numberOf(text: string): number {
  const number = text.startsWith('max') ? Infinity : Number.parseInt(text, 10)
  return number >= 2 ** 62 ? Infinity : number
}

/** Of a pressure file (psi). `full` is missing for processors of older kernels. */
export function stallsOf(text: string): Stalls {
  const total = (kind: string) => Number(new RegExp(`^${kind} .* total=(\\d+)`, 'm').exec(text)?.[1] ?? 0)
  return { someUs: total('some'), fullUs: total('full') }
}

/** Processors, and microseconds that they were idle, all together, from /proc/stat. Ticks are hundredths of a second. */
export function idleOf(stat: string): { readonly cores: number; readonly idleUs: number } {
  const lines = stat.split('\n')
  const [, , , , idle, wait] = (lines[0] ?? '').split(/\s+/).map(Number)
  const cores = lines.filter(line => /^cpu\d/.test(line)).length
  return { cores: Math.max(1, cores), idleUs: ((idle ?? 0) + (wait ?? 0)) * 10_000 }
}

/** Bytes, from /proc/meminfo, where it says kilobytes. */
export function meminfoBytes(text: string, name: string): number {
  const at = text.indexOf(`${name}:`)
  return at < 0 ? 0 : Number.parseInt(text.slice(at + name.length + 1), 10) * 1024
}
