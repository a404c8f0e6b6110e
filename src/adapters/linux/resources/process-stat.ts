import { readFileSync } from 'node:fs'

/** What proc_pid_stat(5) says of a process, in the numbers of the host. */
export interface ProcessStat {
  readonly pid: number
  /** As it calls itself; anything but printable letters has become `?`. */
  readonly name: string
  readonly state: string
  readonly parent: number
  readonly group: number
  /** Of terminals (setsid), not ours. */
  readonly session: number
  readonly hasTerminal: boolean
  /** Hundredths of a second: its own, and of children that have ended and were waited for. */
  readonly ownTicks: number
  readonly childTicks: number
  /** When it began, in hundredths of a second since the host did: with its number, its name for good. */
  readonly startedTicks: number
}

/** Undefined when the text is none. */
export function parseStat(text: string): ProcessStat | undefined {
  const open = text.indexOf('(')
  // The name may hold anything, parentheses too.
  const close = text.lastIndexOf(')')
  if (open < 0 || close < 0) return undefined
  const fields = text.slice(close + 2).split(' ')
  const at = (field: number): number => Number(fields[field - 3])
  return {
    pid: Number.parseInt(text, 10),
    name: text.slice(open + 1, close).replace(/[^\x20-\x7e]/g, '?'),
    state: fields[0] ?? '',
    parent: at(4),
    group: at(5),
    session: at(6),
    hasTerminal: at(7) !== 0,
    ownTicks: at(14) + at(15),
    childTicks: at(16) + at(17),
    startedTicks: at(22),
  }
}

/** Undefined when it has ended. Takes some ten microseconds and waits for nobody, whatever the process is up to. */
export function readStat(pid: number): ProcessStat | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return undefined // Ended.
  }
}
