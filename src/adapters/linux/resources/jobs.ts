// Jobs and what they use, from two looks at the same processes: pure. What a process used is its own and its ended
// children's time; but what ended in another job was that one's, though it is the parent's from then on: a shell does not
// become heavy because a build that it started has ended.
import type { SandboxId } from '../../../core/driver.ts'
import type { JobSample } from '../../../core/governor/sample.ts'
import type { Member } from './members.ts'
import type { ProcessStat } from './process-stat.ts'

const TICK_US = 10_000

export interface Look extends ProcessStat, Pick<Member, 'in' | 'isFromSession'> {}

/** What is remembered of one look for the next. */
export interface JobBook {
  readonly processes: ReadonlyMap<number, Known>
  readonly jobs: ReadonlyMap<
    number,
    { readonly startedTicks: number; readonly ticks: number; readonly countedUs: number }
  >
}

interface Known {
  readonly startedTicks: number
  readonly parent: number
  readonly group: number
  readonly childTicks: number
  /** Of `childTicks`, what counts as its own job's. */
  readonly countedTicks: number
}

export const EMPTY_BOOK: JobBook = { processes: new Map(), jobs: new Map() }

export interface Jobs {
  readonly book: JobBook
  readonly jobs: readonly JobSample[]
}

export function countJobs(environment: SandboxId, book: JobBook, looks: readonly Look[]): Jobs {
  const processes = new Map<number, Known>()
  const lost = parentsThatLost(book, looks)
  for (const look of looks) processes.set(look.pid, known(look, book.processes.get(look.pid), lost))
  const jobs = new Map<number, JobBook['jobs'] extends ReadonlyMap<number, infer Job> ? Job : never>()
  const samples: JobSample[] = []
  for (const [group, members] of Map.groupBy(looks, each => each.group)) {
    const first = members.reduce((a, b) => (older(a, b) ? a : b))
    const leader = members.find(each => each.pid === group)
    // The number of a group is not given away while one of its processes lives, so what was known of it still holds.
    const before = book.jobs.get(group)
    const isKnown = before !== undefined && before.startedTicks <= first.startedTicks
    const startedTicks = leader?.startedTicks ?? (isKnown ? before.startedTicks : first.startedTicks)
    const ticks = members.reduce(
      (sum, each) => sum + each.ownTicks + (processes.get(each.pid)?.countedTicks ?? 0),
      0,
    )
    const isSame = isKnown && before.startedTicks === startedTicks
    // A member that ended and was waited for by somebody else takes what it used with it: counters never go back.
    const countedUs = isSame
      ? before.countedUs + Math.max(0, ticks - before.ticks) * TICK_US
      : ticks * TICK_US
    jobs.set(group, { startedTicks, ticks, countedUs })
    const isFromSession = members.some(each => each.isFromSession)
    samples.push({
      environment,
      group,
      startedTicks,
      pids: members.map(({ pid }) => pid),
      runnable: members.filter(({ state }) => state === 'R').length,
      cpuUs: countedUs,
      // One that is still on its way is where it came from.
      in: members.some(each => each.in === 'session') ? 'session' : 'work',
      isFromSession,
      name: (leader ?? first).name,
    })
  }
  return { book: { processes, jobs }, jobs: samples }
}

const older = (a: Look, b: Look): boolean =>
  a.startedTicks < b.startedTicks || (a.startedTicks === b.startedTicks && a.pid <= b.pid)

/** Processes that had a child in another job, or terminal's session, which has ended since. */
function parentsThatLost(book: JobBook, looks: readonly Look[]): ReadonlySet<number> {
  const alive = new Map(looks.map(each => [each.pid, each.startedTicks]))
  const lost = new Set<number>()
  for (const [pid, child] of book.processes) {
    if (alive.get(pid) === child.startedTicks) continue
    const parent = book.processes.get(child.parent)
    if (parent !== undefined && parent.group !== child.group) lost.add(child.parent)
  }
  return lost
}

function known(look: Look, before: Known | undefined, lost: ReadonlySet<number>): Known {
  const { startedTicks, parent, group, childTicks } = look
  const base = { startedTicks, parent, group, childTicks }
  // The shell of a terminal puts every command into a job of its own, also those that are too short to be seen.
  const countsNone = look.hasTerminal && look.session === look.pid
  if (countsNone) return { ...base, countedTicks: 0 }
  if (before?.startedTicks !== startedTicks) return { ...base, countedTicks: childTicks }
  const grown = lost.has(look.pid) ? 0 : Math.max(0, childTicks - before.childTicks)
  return { ...base, countedTicks: before.countedTicks + grown }
}
