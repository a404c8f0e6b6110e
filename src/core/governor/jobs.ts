// What of a session is work: jobs that compute for longer than an answer takes are moved to `work`, and back when they have
// calmed down. By what they do, never by their name: a language server that indexes is work, one that answers is not.
import type { SandboxId } from '../driver.ts'
import type { Decision } from './act.ts'
import { isTyping } from './cpu-account.ts'
import type { Governor, Looks, Sense } from './governor.ts'
import type { EnvironmentSample, HostSample, JobSample } from './sample.ts'

/** Cores over time. What computes on several cores at once needs no second look. */
const HEAVY = { cores: 0.5, forMs: 300, atOnceCores: 1.2 } as const
/**
 * Beside many who compute nobody gets that much. What could run whenever it was looked at for so long, and used most of what
 * its session did, is heavy too; what answers is idle in between, when it is served as it should be. While somebody types
 * it takes more, and several processes at once: one that answers may be late, and then never rests either.
 */
const CROWDED = { part: 0.5, leastCores: 0.02, typed: { cores: 0.15, runnable: 2 }, forMs: 1_000 } as const
/**
 * So little, and nothing that could run, for so long. Beside a build that takes so many times as much it cannot be told
 * whether it rests or waits: it is let go, for an answer that waits behind a build is worse than a build that is taken for
 * an answer. Who relapses has to be calm twice as long the next time.
 */
const CALM = { cores: 0.1, forMs: 3_000, mostMs: 60_000, beside: 2 } as const
/** A session that uses less is not looked at: nothing in it can be heavy. */
const LOOK_CORES = 0.2
/** Jobs that were moved are looked at so often. */
const LOOK_MS = 1_000
/** What was not there at a look that is longer ago may have begun at any time since. */
const RECENT_MS = 600
/** The kernel counts a job's use in hundredths of a second: a rate over less than this says nothing. */
const LEAST_MS = 100
/** A fork bomb has thousands: so many that used most are followed, and so many are moved at a time. */
const MOST_JOBS = 256
const MOST_MOVES = 16

interface Known {
  readonly cpuUs: number
  readonly heavyMs: number
  readonly calmMs: number
  /** How long it is to be calm before it comes back. */
  readonly restMs: number
  /** It was brought back before. */
  readonly returned: boolean
  readonly isAway: boolean
}

interface KnownEnvironment {
  readonly sessionUs: number
  readonly atMs: number
  /** Of the latest look, with what its session had used then. */
  readonly lookedMs?: number
  readonly lookedUs: number
  /** By number and beginning of the job. */
  readonly jobs: Readonly<Record<string, Known>>
}

export interface JobsState {
  readonly environments: Readonly<Record<SandboxId, KnownEnvironment>>
}

const NEW: Known = { cpuUs: 0, heavyMs: 0, calmMs: 0, restMs: CALM.forMs, returned: false, isAway: false }

export const jobs: Governor<JobsState> = {
  name: 'jobs',
  initial: { environments: {} },
  looks: ({ environments }, host): Looks => ({
    jobs: [...host.environments.values()]
      .filter(sample => deservesLook(environments[sample.id], sample, host))
      .map(({ id }) => id),
  }),
  decide({ environments }, sense) {
    const decisions: Decision[] = []
    const seen = Map.groupBy(sense.jobs, job => job.environment)
    const next: Record<SandboxId, KnownEnvironment> = {}
    for (const sample of sense.host.environments.values()) {
      const before = environments[sample.id]
      const looked = sense.looked.jobs.has(sample.id)
      const { known, moves } = looked
        ? judgeAll(before, sample, seen.get(sample.id) ?? [], sense)
        : { known: before?.jobs ?? {}, moves: [] }
      decisions.push(...moves)
      const lookedMs = looked ? sense.host.atMs : before?.lookedMs
      next[sample.id] = {
        sessionUs: sample.cpu.sessionUs,
        atMs: sense.host.atMs,
        lookedUs: looked || before === undefined ? sample.cpu.sessionUs : before.lookedUs,
        jobs: known,
        ...(lookedMs === undefined ? {} : { lookedMs }),
      }
    }
    return { state: { environments: next }, decisions }
  },
}

function deservesLook(
  before: KnownEnvironment | undefined,
  { cpu, isFrozen }: EnvironmentSample,
  { atMs, cores, environments }: HostSample,
): boolean {
  if (isFrozen) return false
  // Whatever an earlier runner left.
  if (before?.lookedMs === undefined || atMs < before.lookedMs) return true
  const sessionCores = (cpu.sessionUs - before.sessionUs) / 1000 / Math.max(1, atMs - before.atMs)
  if (sessionCores > LOOK_CORES) return true
  // In a crowd nobody gets that much, and a crowd is looked at more rarely.
  const isMuch = sessionCores > Math.max(CROWDED.leastCores, cores / 2 / environments.size)
  if (isMuch && atMs - before.lookedMs >= LOOK_MS) return true
  const all = Object.values(before.jobs)
  if (all.some(({ heavyMs }) => heavyMs > 0)) return true
  return all.some(({ isAway }) => isAway) && atMs - before.lookedMs >= LOOK_MS
}

function judgeAll(
  before: KnownEnvironment | undefined,
  sample: EnvironmentSample,
  samples: readonly JobSample[],
  sense: Sense,
): { known: Record<string, Known>; moves: Decision[] } {
  const { id, cpu } = sample
  const spanMs = sense.host.atMs - (before?.lookedMs ?? sense.host.atMs)
  const sessionCores =
    before === undefined || spanMs <= 0 ? 0 : (cpu.sessionUs - before.lookedUs) / 1000 / spanMs
  const terms = sense.terms.get(sample.id)
  const isTyped = terms !== undefined && isTyping(terms, sense.host.atMs)
  const least = isTyped ? CROWDED.typed : { cores: CROWDED.leastCores, runnable: 1 }
  const crowded = { ...least, cores: Math.max(least.cores, CROWDED.part * sessionCores) }
  const known: Record<string, Known> = {}
  const moves: Decision[] = []
  const followed = samples.length > MOST_JOBS ? samples.toSorted((a, b) => b.cpuUs - a.cpuUs) : samples
  const usedUs = (job: JobSample) =>
    job.cpuUs - (before?.jobs[`${job.group}/${job.startedTicks}`]?.cpuUs ?? job.cpuUs)
  const working = samples.filter(job => job.in === 'work').sort((a, b) => usedUs(b) - usedUs(a))
  for (const job of followed.slice(0, MOST_JOBS)) {
    const busiest = working.find(each => each !== job)
    const key = `${job.group}/${job.startedTicks}`
    const earlier = before?.jobs[key]
    const { next, to, cores } = judge(earlier, job, {
      spanMs,
      wasLooked: spanMs > 0 && spanMs < RECENT_MS,
      crowded,
      besideUs: busiest === undefined ? 0 : usedUs(busiest),
    })
    known[key] = next
    if (to === undefined || moves.length >= MOST_MOVES) continue
    moves.push({
      governor: 'jobs',
      act: { kind: 'move', id, group: job.group, startedTicks: job.startedTicks, to },
      why:
        to === 'work'
          ? `${job.name} (${job.group}) computes, on ${cores.toFixed(1)} cores: it is work now`
          : `${job.name} (${job.group}) has calmed down: it is part of the session again`,
    })
  }
  return { known, moves }
}

function judge(
  before: Known | undefined,
  job: JobSample,
  look: {
    readonly spanMs: number
    readonly wasLooked: boolean
    readonly crowded: { readonly cores: number; readonly runnable: number }
    /** What the busiest other job in `work` has used since. */
    readonly besideUs: number
  },
): { next: Known; to?: 'session' | 'work'; cores: number } {
  const { cpuUs, isFromSession } = job
  const isAway = job.in === 'work' && isFromSession
  const { spanMs } = look
  // A job that was not there at the look before did all that it did since.
  const sinceUs = before?.cpuUs ?? (look.wasLooked ? 0 : cpuUs)
  const known = before ?? NEW
  // Too soon to tell, a clock that went back, or a gap in which anything may have happened.
  if (spanMs < LEAST_MS || cpuUs < sinceUs)
    return { next: { ...known, cpuUs: spanMs <= 0 ? cpuUs : sinceUs, isAway }, cores: 0 }
  const cores = (cpuUs - sinceUs) / 1000 / spanMs
  if (job.in === 'session') {
    const isHeavy = cores > HEAVY.cores
    const isCrowding = job.runnable >= look.crowded.runnable && cores > look.crowded.cores
    // On a busy host a build is held up now and then: one round in which it did little does not begin anew.
    const change = Math.min(spanMs, LOOK_MS / 2)
    const heavyMs = Math.max(0, known.heavyMs + (isHeavy || isCrowding ? change : -change))
    const forMs = isHeavy ? HEAVY.forMs : CROWDED.forMs
    const next = { ...known, cpuUs, heavyMs, calmMs: 0, isAway }
    if (heavyMs < forMs && cores < HEAVY.atOnceCores) return { next, cores }
    return { next, to: 'work', cores }
  }
  if (!isAway) return { next: { ...NEW, cpuUs }, cores }
  const isLight = cores < CALM.cores
  const isBeside = look.besideUs > 0 && (cpuUs - sinceUs) * CALM.beside <= look.besideUs
  const isCalm = isLight && (job.runnable === 0 || isBeside)
  // The kernel counts coarsely: what is not clear this time is not held against it.
  const isUnclear = isLight && look.besideUs >= cpuUs - sinceUs && look.besideUs > 0
  // Of a longer gap nobody knows whether it was calm all along.
  const calmMs = isCalm ? known.calmMs + Math.min(spanMs, LOOK_MS + LEAST_MS) : isUnclear ? known.calmMs : 0
  // It had been brought back, and was taken away again.
  const relapsed = known.returned && !known.isAway
  const restMs = relapsed ? Math.min(CALM.mostMs, known.restMs * 2) : known.restMs
  const next = { ...known, cpuUs, heavyMs: 0, calmMs, restMs, isAway }
  if (calmMs < restMs) return { next, cores }
  return { next: { ...next, returned: true }, to: 'session', cores }
}
