// What processes have cost, as the kernel counts it.
import { readdirSync, readFileSync } from 'node:fs'

// USER_HZ is 100 on every Linux that Node runs on.
const TICK_MS = 10

/** Milliseconds of processor time, by who spent it: processes alone, and some with their children. */
export function spentBy(
  processes: Readonly<Record<string, readonly number[]>>,
  trees: Readonly<Record<string, number>>,
): Record<string, number> {
  const spent = Object.fromEntries([
    ...Object.entries(processes).map(([who, pids]) => [who, pids.reduce((sum, pid) => sum + cpuMs(pid), 0)]),
    ...Object.entries(trees).map(([who, pid]) => [who, treeCpuMs(pid)]),
  ]) as Record<string, number>
  const ours = Object.values(spent).reduce((sum, ms) => sum + ms, 0)
  // On a machine that is shared, the figures are worth as much as this is small.
  return { ...spent, 'everybody else': machineCpuMs() - ours }
}

/** Milliseconds of processor time of a process. */
function cpuMs(pid: number): number {
  return statOf(pid, fields => (Number(fields[11]) + Number(fields[12])) * TICK_MS) ?? 0
}

/** The same of a process and of its children, also of those that have ended. */
function treeCpuMs(pid: number): number {
  const ended = statOf(pid, fields => (Number(fields[13]) + Number(fields[14])) * TICK_MS) ?? 0
  return [pid, ...childrenOf(pid)].reduce((sum, each) => sum + cpuMs(each), ended)
}

/** Milliseconds of processor time of everything on the machine. */
function machineCpuMs(): number {
  const [, user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = (
    readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? ''
  )
    .split(/\s+/)
    .map(Number)
  return (user + nice + system + irq + softirq) * TICK_MS
}

/** Resident memory in MB: now and at its highest. */
export function memoryMb(pid: number): { readonly now: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const of = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) / 1024
  return { now: of('VmRSS'), peak: of('VmHWM') }
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(each => statOf(each, fields => Number(fields[1])) === pid)
}

/** `fields` are those after the name in parentheses, which may hold anything. */
function statOf<T>(pid: number, read: (fields: readonly string[]) => T): T | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return read(stat.slice(stat.lastIndexOf(')') + 2).split(' '))
  } catch {
    return undefined // It has ended meanwhile.
  }
}
