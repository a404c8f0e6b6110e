// Whom the kernel shoots first when memory is out, where nobody acts before it does: work before sessions. Scores of work
// are raised; to lower one, as a session's would have to be, is not permitted on every host.
import { readFileSync, writeFileSync } from 'node:fs'

/**
 * In thousandths of the memory that is short. A compiler goes before a language server that takes half as much again as the
 * ceiling has, and not before a session that has run wild.
 */
const WORK = 500
const MOST = 1000

/** What processes of work are to have: as much more than everybody whom this process starts. */
export function workScore(): number {
  return Math.min(MOST, own() + WORK)
}

/** From now on, and for what it starts from now on. One that has ended needs none. */
export function setScore(pid: number, group: 'session' | 'work'): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(group === 'work' ? workScore() : own()))
  } catch {
    // Ended; or raised with more power than we have now, and stays so: it goes earlier than it need.
  }
}

const own = (): number => Number(readFileSync('/proc/self/oom_score_adj', 'utf8'))
