import { readdirSync, readFileSync } from 'node:fs'
import type { Clock, Millis } from '../../lib/clock.ts'

// Every process of a fake sandbox inherits a variable that names it; this is how they are found again, by any
// instance, with no books kept. (A process that clears its environment escapes; this driver is no prison.)
export const SANDBOX_VARIABLE = 'BOTHY_FAKE_SANDBOX'
export const COMMAND_VARIABLE = 'BOTHY_FAKE_COMMAND'

/** A process id that cannot be mistaken for a later process with the same number. */
export interface ProcessId {
  readonly pid: number
  /** Field 22 of /proc/PID/stat: when it started, in clock ticks since boot. */
  readonly startTicks: string
}

/** Undefined when there is no such process, or only its zombie. */
export function findProcess(pid: number): ProcessId | undefined {
  try {
    // The name in parentheses may hold anything, parentheses and blanks too: count from the last one.
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const startTicks = fields[19]
    return fields[0] === 'Z' || fields[0] === 'X' || startTicks === undefined
      ? undefined
      : { pid, startTicks }
  } catch {
    return undefined // No such process.
  }
}

export function isAlive(process: ProcessId): boolean {
  return findProcess(process.pid)?.startTicks === process.startTicks
}

/** Processes in whose environment the variable holds a value that `matches`. */
export function findMarked(variable: string, matches: (value: string) => boolean): number[] {
  const prefix = `${variable}=`
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(pid => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0')
        return environment.some(each => each.startsWith(prefix) && matches(each.slice(prefix.length)))
      } catch {
        return false // Ended meanwhile, or somebody else's.
      }
    })
}

export function sendSignal(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch {
      // Gone already, which is what was wanted.
    }
  }
}

/** Asks with SIGTERM, and after `graceMs` kills, until nothing marked is left. */
export async function endMarked(
  variable: string,
  matches: (value: string) => boolean,
  graceMs: Millis,
  clock: Clock,
): Promise<void> {
  const deadline = clock.now() + graceMs
  let left = findMarked(variable, matches)
  if (graceMs > 0) {
    sendSignal(left, 'SIGTERM')
    while (left.length > 0 && clock.now() < deadline) {
      await clock.sleep(10)
      left = findMarked(variable, matches)
    }
  }
  while (left.length > 0) {
    sendSignal(left, 'SIGKILL')
    await clock.sleep(5)
    left = findMarked(variable, matches)
  }
}
