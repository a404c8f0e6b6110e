// Which processes are in a sandbox, and in which of its groups.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SandboxId } from '../../../core/driver.ts'
import { MOVED, SESSION, WORK } from '../groups.ts'
import { type Ground, groupDir } from './ground.ts'

export interface Member {
  readonly pid: number
  readonly in: 'session' | 'work'
  /** It, or an ancestor, was born in `session`. */
  readonly isFromSession: boolean
  /** It is in a group of ours itself, not in one that was made inside: those who made that know why. */
  readonly isDirect: boolean
}

/** Container engines inside have one for each container; whoever makes hundreds is looked at only so far. */
const MOST_LOOKED_AT = 200

/** Every process of the sandbox, by the group that it is in; of one that is gone, none. */
export function membersOf(ground: Pick<Ground, 'cgroups' | 'layout'>, id: SandboxId): Member[] {
  const root = groupDir(ground, 'cpu', id)
  if (root === undefined) return []
  const members: Member[] = []
  // Ours first, so that they are always seen.
  const left = [SESSION, MOVED, WORK, '']
  const seen = new Set<string>()
  for (let group = left.shift(); group !== undefined && seen.size < MOST_LOOKED_AT; group = left.shift()) {
    if (seen.has(group)) continue
    seen.add(group)
    const dir = join(root, group)
    const isSession = isWithin(group, SESSION)
    const place = {
      in: isSession ? ('session' as const) : ('work' as const),
      isFromSession: isSession || isWithin(group, MOVED),
      isDirect: group === SESSION || group === MOVED || group === WORK || group === '',
    }
    for (const pid of pidsIn(dir)) members.push({ pid, ...place })
    left.push(...groupsBelow(dir).map(name => join(group, name)))
  }
  return members
}

const isWithin = (group: string, of: string): boolean => group === of || group.startsWith(`${of}/`)

function pidsIn(dir: string): number[] {
  try {
    return readFileSync(join(dir, 'cgroup.procs'), 'latin1')
      .split('\n')
      .flatMap(line => (line === '' || line === '0' ? [] : [Number(line)]))
  } catch {
    return [] // Gone; or threaded (EOPNOTSUPP), and the processes are those of the group above.
  }
}

function groupsBelow(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true }).flatMap(each => (each.isDirectory() ? [each.name] : []))
  } catch {
    return [] // Gone.
  }
}
