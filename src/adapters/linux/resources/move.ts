import { existsSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { joinFiles, MOVED, remakeGroups, SESSION } from '../groups.ts'
import { cgroupPath } from '../layout.ts'
import { setScore } from '../oom-order.ts'
import type { Carry } from './ground.ts'
import { membersOf } from './members.ts'
import { type ProcessStat, readStat } from './process-stat.ts'

/** Those that are started while the others are moved are moved the next time; a few times is enough for all but bombs. */
const MOST_PASSES = 4

/**
 * Moves a job. What somebody inside has put into a group of its own stays there: a container's limits are the container's.
 * The first change in a while makes the kernel wait, some 10 ms, and whoever starts a process at that moment with it.
 */
export const move: Carry<'move'> = async (ground, { id, group, startedTicks, to }, signal) => {
  const target = to === 'session' ? SESSION : MOVED
  const path = cgroupPath(ground.layout, id)
  for (let pass = 0; pass < MOST_PASSES && !signal.aborted; pass++) {
    const stats = membersOf(ground, id)
      .filter(
        member => member.isDirect && (to === 'session' ? member.in !== 'session' : member.in === 'session'),
      )
      .flatMap(({ pid }) => readStat(pid) ?? [])
      .filter(stat => stat.group === group)
    if (stats.length === 0 || !isThatJob(stats, group, startedTicks)) return
    const pids = stats.map(({ pid }) => pid)
    const files = joinFiles(ground.cgroups, path, target)
    if (files.some(file => !existsSync(file))) await remakeGroups(ground.cgroups, path)
    for (const file of files) await join(file, pids)
    for (const pid of pids) setScore(pid, to)
  }
}

/** A job's number may be somebody else's by now. */
function isThatJob(stats: readonly ProcessStat[], group: number, startedTicks: number): boolean {
  const leader = stats.find(({ pid }) => pid === group) ?? readStat(group)
  // Its first process may have ended; the number stays its own as long as there are others, which are younger.
  if (leader?.group === group) return leader.startedTicks === startedTicks
  return stats.every(stat => stat.startedTicks >= startedTicks)
}

/** By threads of their own: the kernel makes whoever writes there wait. */
async function join(file: string, pids: readonly number[]): Promise<void> {
  const handle = await open(file, 'r+').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT' && cause.code !== 'ENODEV') throw cause
    return undefined // The sandbox is gone.
  })
  if (handle === undefined) return
  try {
    for (const pid of pids) await handle.write(String(pid)).catch(ended)
  } finally {
    await handle.close()
  }
}

function ended(cause: NodeJS.ErrnoException): void {
  if (cause.code !== 'ESRCH' && cause.code !== 'ENODEV') throw cause
}
