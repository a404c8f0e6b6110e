// The processes of one environment with what they take, for whoever must choose one of them.
import { readFileSync } from 'node:fs'
import type { SandboxId } from '../../../core/driver.ts'
import type { ProcessSample } from '../../../core/governor/sample.ts'
import { SHORT_TURN_MS, Turns } from '../../../lib/turns.ts'
import type { Ground } from './ground.ts'
import { type Member, membersOf } from './members.ts'
import { readStat } from './process-stat.ts'

/** So many are looked at. A bomb has thousands, and they are much alike. */
const MOST = 1024

/** Those that end meanwhile are left out. */
export async function processesOf(
  ground: Pick<Ground, 'cgroups' | 'layout'>,
  environment: SandboxId,
): Promise<readonly ProcessSample[]> {
  const samples: ProcessSample[] = []
  const turns = new Turns(SHORT_TURN_MS)
  for (const member of some(membersOf(ground, environment))) {
    await turns.next()
    const { pid } = member
    const stat = readStat(pid)
    if (stat === undefined || 'ZX'.includes(stat.state)) continue
    samples.push({
      ...{ environment, pid, name: stat.name, startedTicks: stat.startedTicks, in: member.in },
      bytes: takenBytes(read(pid, 'status')),
      oomScoreAdjust: Number(read(pid, 'oom_score_adj') || 0),
    })
  }
  return samples
}

// Of many, as many of those that were there first as of the newest.
const some = (members: readonly Member[]): readonly Member[] =>
  members.length <= MOST ? members : [...members.slice(0, MOST / 2), ...members.slice(-MOST / 2)]

/**
 * What ending it would give back: its own memory, resident and swapped, from the text of /proc/PID/status. Files that it
 * maps are not its own: they are given up first and come back from the disk.
 */
export function takenBytes(status: string): number {
  const kilobytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0)
  return (kilobytes('RssAnon') + kilobytes('RssShmem') + kilobytes('VmSwap')) * 1024
}

// In place: the kernel answers at once, and a thread for each file would cost several times as much.
function read(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1')
  } catch {
    return '' // Ended meanwhile.
  }
}
