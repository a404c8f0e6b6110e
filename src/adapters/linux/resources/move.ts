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
    const members = membersOf(ground, id).flatMap(member => {
      const stat = readStat(member.pid)
      return stat?.group === group ? [{ ...stat, ...member }] : []
    })
    const strays = members.filter(each => each.isDirect && (to === 'session') !== (each.in === 'session'))
    if (strays.length === 0 || !isThatJob(members, group, startedTicks)) return
    const pids = strays.map(({ pid }) => pid)
    const files = joinFiles(ground.cgroups, path, target)
    if (files.some(file => !existsSync(file))) await remakeGroups(ground.cgroups, path)
    for (const file of files) await join(file, pids)
    for (const pid of pids) setScore(pid, to)
  }
}

/** A job's number may be somebody else's by now. */
function isThatJob(members: readonly ProcessStat[], group: number, startedTicks: number): boolean {
  // Its first process may have ended, or be the runtime's; the number stays its own while there are others, all younger.
  const leader = members.find(({ pid }) => pid === group)
  if (leader !== undefined) return leader.startedTicks === startedTicks
  return members.every(each => each.startedTicks >= startedTicks)
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
