import { readFileSync } from 'node:fs'
import { cgroupPath } from '../layout.ts'
import type { Carry } from './ground.ts'
import { readStat } from './process-stat.ts'

/**
 * Ends one process. Its number may be somebody else's by now, so it is looked at once more, and at nothing else in between:
 * it must have begun when the one that is meant did, and be in the environment that is meant.
 */
export const kill: Carry<'kill'> = async ({ layout }, { id, pid, startedTicks }) => {
  if (pid <= 1) return
  try {
    const groups = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
    if (readStat(pid)?.startedTicks !== startedTicks || !isIn(groups, cgroupPath(layout, id))) return
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

/** From the text of /proc/PID/cgroup: `HIERARCHY:CONTROLLERS:PATH`. */
export function isIn(groups: string, path: string): boolean {
  return groups.split('\n').some(line => {
    const at = line.indexOf(':', line.indexOf(':') + 1)
    const group = line.slice(at + 1)
    return group === path || group.startsWith(`${path}/`)
  })
}
