// What happens to an environment at its own ceiling: pure. Where the kernel's killer can be held back and nobody is
// connected, those who want more wait there until the governor has made room. It could push memory out (the kernel has
// tried that already), and it lifts the ceiling by a little, so that others than the one that is being ended go on. Then
// the largest process of `work` goes; twice as many each time that was not enough.
//
//   below ──(stuck)──▶ lifted, killing ──(still stuck after PAUSE_MS: twice as many)──▶ … ──▶ below, ceiling as it was
import type { Millis } from '../../lib/clock.ts'
import type { SandboxId } from '../driver.ts'
import type { Act } from './act.ts'
import type { EnvironmentTerms } from './governor.ts'
import type { EnvironmentSample, ProcessSample } from './sample.ts'
import { spellBytes, victims } from './victims.ts'

/** Data only. */
export interface Ceiling {
  /** Since when the ceiling is lifted. */
  readonly liftedMs?: Millis
  /** When processes were last killed for it, and how many times in a row. */
  readonly killedMs?: Millis
  readonly times?: number
  /** Nobody was found to kill: the kernel's killer has its way until then. */
  readonly yieldUntilMs?: Millis
  /** What does not fit under a ceiling that was lowered was asked for. */
  readonly askedMs?: Millis
}

export interface Answer {
  readonly ceiling: Ceiling
  readonly acts: readonly { readonly act: Act; readonly why: string }[]
}

/** Of the ceiling: what is lent to those who wait while somebody is ended. Enough for a shell, and for a fork. */
const LENT_SHARE = 1 / 32
const LENT_BYTES = 64 * 2 ** 20
// The kernel takes some milliseconds to end a process of gigabytes; one in a system call on a slow disk takes longer.
const PAUSE_MS: Millis = 500
const YIELD_MS: Millis = 10_000
const MOST_TIMES = 6
// What is asked for again and again is in use.
const ASK_MS: Millis = 10_000
const CALM_MS: Millis = 2_000

export interface CeilingSense {
  readonly atMs: Millis
  /** Undefined: nobody has looked at them this time. */
  readonly processes: readonly ProcessSample[] | undefined
  readonly canHold: boolean
}

/** Is it worth a look at its processes? */
export function isStuck(sample: EnvironmentSample): boolean {
  return sample.memory.isStuck === true
}

export function answerCeiling(
  before: Ceiling,
  sample: EnvironmentSample,
  terms: EnvironmentTerms,
  { atMs, processes, canHold }: CeilingSense,
): Answer {
  const { id } = sample
  const acts: { act: Act; why: string }[] = []
  const next: { -readonly [K in keyof Ceiling]: Ceiling[K] } = { ...before }
  if (next.yieldUntilMs !== undefined && (atMs >= next.yieldUntilMs || next.yieldUntilMs - atMs > YIELD_MS))
    delete next.yieldUntilMs

  if (isStuck(sample) && next.yieldUntilMs === undefined) {
    next.liftedMs ??= atMs
    const sinceMs = next.killedMs === undefined ? undefined : atMs - next.killedMs
    const waits = sinceMs !== undefined && sinceMs >= 0 && sinceMs < PAUSE_MS
    if (!waits && processes !== undefined) {
      const times = next.times ?? 0
      const chosen = choose(processes, sample, times)
      acts.push(...chosen.map(each => killOf(each, terms.memoryBytes)))
      if (chosen.length === 0 || times >= MOST_TIMES) next.yieldUntilMs = atMs + YIELD_MS
      next.killedMs = atMs
      next.times = Math.min(times + 1, MOST_TIMES)
    }
  } else if (next.killedMs !== undefined && !isStuck(sample)) {
    const sinceMs = atMs - next.killedMs
    if (sinceMs < 0 || sinceMs >= CALM_MS) {
      delete next.killedMs
      delete next.times
    }
  }

  const { bytes } = sample.memory
  // Swapped or not: the kernel refuses a ceiling below what is taken in all.
  const taken = bytes + (sample.memory.swapBytes ?? 0)
  const lent = Math.min(LENT_BYTES, Math.floor(terms.memoryBytes * LENT_SHARE))
  if (next.liftedMs !== undefined && !isStuck(sample) && taken < terms.memoryBytes - lent)
    delete next.liftedMs
  const isLifted = next.liftedMs !== undefined
  if (isLifted) {
    const why = `lent ${spellBytes(lent)} while somebody in it is ended`
    acts.push({ act: limit(id, terms, terms.memoryBytes + lent), why })
  } else if (taken <= terms.memoryBytes || sample.memory.limitBytes <= terms.memoryBytes) {
    acts.push({ act: limit(id, terms, terms.memoryBytes), why: 'its class' })
  } else if (next.askedMs === undefined || atMs < next.askedMs || atMs - next.askedMs >= ASK_MS) {
    // The kernel refuses a ceiling below what cannot be pushed out.
    next.askedMs = atMs
    const why = 'its class has a lower ceiling than it takes'
    acts.push({ act: { kind: 'reclaim', id, bytes: Math.min(bytes, taken - terms.memoryBytes) }, why })
  }
  if (canHold) {
    const [held, why] = holds(next, terms, sample)
    acts.push({ act: { kind: 'hold-killer', id, held }, why })
  }
  return { ceiling: next, acts }
}

/**
 * While the killer is held back, only those who touch memory wait. Whoever asks for some in a system call is refused: a
 * shell beside a bomb cannot fork, and one in three gave up (2026-11, a look every 100 ms). So where somebody is at a
 * prompt the kernel shoots at once, in the order that scores have prepared: work first.
 */
function holds(
  { yieldUntilMs }: Ceiling,
  { connections }: EnvironmentTerms,
  { memory }: EnvironmentSample,
): readonly [boolean, string] {
  if (connections > 0) return [false, 'somebody is connected: the kernel shoots at once, work first']
  if (yieldUntilMs !== undefined) return [false, 'nobody was found to end: the kernel chooses']
  // Each of them would inherit that its killer is held back, and nobody answers at their ceilings.
  if (memory.isDivided === true)
    return [false, 'it has groups of its own, with ceilings of their own: the kernel shoots there']
  return [true, 'the governor chooses who goes']
}

function choose(
  processes: readonly ProcessSample[],
  sample: EnvironmentSample,
  times: number,
): readonly ProcessSample[] {
  const takenBytes = sample.memory.bytes + (sample.memory.swapBytes ?? 0)
  // A bomb of many: each time that it was not enough, twice as much is to come free.
  const wantedBytes = times === 0 ? 1 : (takenBytes * 2 ** times) / 64
  return victims(processes, { takenBytes, wantedBytes })
}

function killOf({ environment, pid, startedTicks, name, bytes }: ProcessSample, ceilingBytes: number) {
  const act: Act = { kind: 'kill', id: environment, pid, startedTicks, name, bytes }
  const why = `killed ${name} (${spellBytes(bytes)}): the environment is at its ceiling of ${spellBytes(ceilingBytes)}`
  return { act, why }
}

const limit = (id: SandboxId, { guaranteedBytes }: EnvironmentTerms, limitBytes: number): Act => ({
  kind: 'memory',
  id,
  protectedBytes: guaranteedBytes,
  limitBytes,
})
