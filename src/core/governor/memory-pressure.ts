// What happens when the host's memory is short: pure. Each step is taken when the one before has nothing left to win:
//
//   low        memory of idle environments is pushed out, the largest first
//   critical   the largest idle one is frozen, so that it cannot take it back
//   emergency  the largest process of the greediest environment's `work` is killed
//
// Greediest is who takes most beyond what it was promised. Who was frozen goes when there has been plenty for a while.
import type { Millis } from '../../lib/clock.ts'
import type { SandboxId } from '../driver.ts'
import type { Act } from './act.ts'
import type { EnvironmentTerms, Sense } from './governor.ts'
import { idleMs, type Quiet, silentMs } from './idle.ts'
import type { EnvironmentSample, HostSample } from './sample.ts'
import { spellBytes, victims } from './victims.ts'

/** Data only. */
export interface Pressed {
  /** Of each environment, what it was pushed down to, and when. */
  readonly reclaimed: Readonly<Record<SandboxId, { readonly atMs: Millis; readonly bytes: number }>>
  readonly frozen: Readonly<Record<SandboxId, Millis>>
  /** Who was let go, and until when it is not frozen again. */
  readonly spared: Readonly<Record<SandboxId, Millis>>
  /** When the last step was taken: each needs a moment to be felt. */
  readonly steppedMs?: Millis
  readonly emergencyMs?: Millis
  readonly plentyMs?: Millis
}

export const CALM: Pressed = { reclaimed: {}, frozen: {}, spared: {} }

export interface Candidate {
  readonly sample: EnvironmentSample
  readonly terms: EnvironmentTerms
  readonly quiet: Quiet
}

interface Level {
  readonly share: number
  readonly bytes: number
}
const GIB = 2 ** 30
// Of what there is, and at most so much: a large host has no use for a tenth of it lying idle.
const LOW: Level = { share: 0.1, bytes: 2 * GIB }
const CRITICAL: Level = { share: 0.05, bytes: GIB }
const EMERGENCY: Level = { share: 0.025, bytes: 384 * 2 ** 20 }
const PLENTY = 1.5

const STEP_MS: Millis = 1_000
const PLENTY_MS: Millis = 30_000
/** Idle for so long is idle enough when memory is short; open terminals at which nobody types, for longer. */
const IDLE_MS: Millis = 60_000
const SILENT_MS: Millis = 10 * 60_000
// Less is not worth the trouble.
const LEAST_BYTES = 16 * 2 ** 20
const GROWN = 1.25
const FORGOTTEN_MS: Millis = 5 * 60_000
const SPARED_MS: Millis = 60_000
/** Greedy ones that are looked at: each look costs. */
const MOST_LOOKS = 3

const threshold = ({ totalBytes }: HostSample['memory'], { share, bytes }: Level): number =>
  Math.min(totalBytes * share, bytes)

export type PressureLevel = 'none' | 'low' | 'critical' | 'emergency'

export function pressureLevel({ memory }: HostSample): PressureLevel {
  const isBelow = (level: Level) => memory.availableBytes < threshold(memory, level)
  if (isBelow(EMERGENCY)) return 'emergency'
  if (isBelow(CRITICAL)) return 'critical'
  return isBelow(LOW) ? 'low' : 'none'
}

/** The greediest, whose processes are to be seen before one can be chosen. */
export function greediest(candidates: readonly Candidate[]): readonly Candidate[] {
  return candidates
    .filter(each => greedOf(each) > 0)
    .toSorted((a, b) => greedOf(b) - greedOf(a))
    .slice(0, MOST_LOOKS)
}

const takenBy = ({ sample: { memory } }: Candidate): number => memory.bytes + (memory.swapBytes ?? 0)
const greedOf = (each: Candidate): number => takenBy(each) - each.terms.guaranteedBytes

export interface Relief {
  readonly pressed: Pressed
  readonly acts: readonly { readonly act: Act; readonly why: string }[]
}

export function relieve(before: Pressed, candidates: readonly Candidate[], sense: Sense): Relief {
  const { atMs, memory } = sense.host
  const acts: { act: Act; why: string }[] = []
  const level = pressureLevel(sense.host)
  const left = `${spellBytes(memory.availableBytes)} of ${spellBytes(memory.totalBytes)} left on the host`
  const next: { -readonly [K in keyof Pressed]: Pressed[K] } = { ...forgetGone(before, candidates, atMs) }

  for (const { sample, terms } of candidates) {
    const sinceMs = next.frozen[sample.id]
    if (sinceMs === undefined) continue
    const cameBack = terms.connections > 0 && (terms.heardMs ?? 0) >= sinceMs
    const wasLetGo = !sample.isFrozen && atMs - sinceMs >= STEP_MS * 2
    if (cameBack || wasLetGo || atMs < sinceMs) {
      next.frozen = without(next.frozen, sample.id)
      next.spared = { ...next.spared, [sample.id]: atMs + SPARED_MS }
      acts.push({ act: freeze(sample.id, false), why: cameBack ? 'somebody came' : 'it was let go' })
    } else acts.push({ act: freeze(sample.id, true), why: `idle, and memory is short: ${left}` })
  }

  if (level === 'emergency') next.emergencyMs ??= atMs
  else delete next.emergencyMs
  if (memory.availableBytes >= threshold(memory, LOW) * PLENTY) {
    next.plentyMs ??= atMs
    if (atMs < next.plentyMs) next.plentyMs = atMs
    const smallest = candidates
      .filter(({ sample }) => next.frozen[sample.id] !== undefined)
      .toSorted((a, b) => takenBy(a) - takenBy(b))[0]
    if (smallest !== undefined && atMs - next.plentyMs >= PLENTY_MS) {
      const { id } = smallest.sample
      next.frozen = without(next.frozen, id)
      // The next one only after another while: this one takes back what it had.
      next.plentyMs = atMs
      acts.push({ act: freeze(id, false), why: `there is memory again: ${left}` })
    }
  } else delete next.plentyMs

  const sinceStepMs = next.steppedMs === undefined ? STEP_MS : atMs - next.steppedMs
  if (level === 'none' || (sinceStepMs >= 0 && sinceStepMs < STEP_MS)) return { pressed: next, acts }

  const idle = idleOf(candidates, atMs)
  const pushed = idle.find(each => isWorthPushing(each, next, atMs))
  if (pushed !== undefined && sense.abilities?.reclaim !== false) {
    const { id, memory: its } = pushed.sample
    next.steppedMs = atMs
    next.reclaimed = { ...next.reclaimed, [id]: { atMs, bytes: its.bytes } }
    acts.push({ act: { kind: 'reclaim', id, bytes: its.bytes }, why: `idle, and memory is short: ${left}` })
  }
  const frozen = idle.find(
    ({ sample: { id, isFrozen } }) =>
      !isFrozen && next.frozen[id] === undefined && next.spared[id] === undefined,
  )
  if (frozen !== undefined && level !== 'low' && sense.abilities?.freeze !== false) {
    const { id } = frozen.sample
    next.steppedMs = atMs
    next.frozen = { ...next.frozen, [id]: atMs }
    acts.push({ act: freeze(id, true), why: `the largest idle one, and memory is short: ${left}` })
    return { pressed: next, acts }
  }
  const isOverdue = next.emergencyMs !== undefined && atMs - next.emergencyMs >= STEP_MS
  if (level !== 'emergency' || (pushed !== undefined && !isOverdue)) return { pressed: next, acts }
  const kill = killGreediest(candidates, sense, left)
  if (kill !== undefined) {
    next.steppedMs = atMs
    acts.push(kill)
  }
  return { pressed: next, acts }
}

/** Those that nobody needs at the moment: largest first, and those at which somebody may come back after all others. */
function idleOf(candidates: readonly Candidate[], atMs: Millis): readonly Candidate[] {
  const bySize = (some: readonly Candidate[]) =>
    some.toSorted((a, b) => b.sample.memory.bytes - a.sample.memory.bytes)
  const alone = candidates.filter(({ quiet, terms }) => idleMs(quiet, terms, atMs) >= IDLE_MS)
  const open = candidates.filter(
    each => !alone.includes(each) && silentMs(each.quiet, each.terms, atMs) >= SILENT_MS,
  )
  return [...bySize(alone), ...bySize(open)].filter(({ sample }) => sample.memory.bytes >= LEAST_BYTES)
}

function isWorthPushing(
  { sample: { id, memory } }: Candidate,
  { reclaimed }: Pressed,
  atMs: Millis,
): boolean {
  const last = reclaimed[id]
  return (
    last === undefined ||
    (atMs - last.atMs >= STEP_MS * 10 && memory.bytes > last.bytes * GROWN + LEAST_BYTES)
  )
}

function killGreediest(
  candidates: readonly Candidate[],
  { processes, looked }: Sense,
  left: string,
): { act: Act; why: string } | undefined {
  for (const each of greediest(candidates)) {
    const { id } = each.sample
    if (!looked.processes.has(id)) continue
    const its = processes.filter(({ environment }) => environment === id)
    const [victim] = victims(its, { takenBytes: takenBy(each) })
    if (victim === undefined) continue
    const { pid, startedTicks, name, bytes } = victim
    const promised = spellBytes(each.terms.guaranteedBytes)
    const reason = `${left}, and the environment takes ${spellBytes(takenBy(each))}, most beyond its ${promised}`
    const why = `killed ${name} (${spellBytes(bytes)}): ${reason}`
    return { act: { kind: 'kill', id, pid, startedTicks, name, bytes }, why }
  }
  return undefined
}

function forgetGone(before: Pressed, candidates: readonly Candidate[], atMs: Millis): Pressed {
  const here = new Map(candidates.map(each => [each.sample.id, each]))
  const kept = <T>(all: Readonly<Record<SandboxId, T>>, isKept: (value: T) => boolean) =>
    Object.fromEntries(Object.entries(all).filter(([id, value]) => here.has(id) && isKept(value)))
  const isRecent = ({ atMs: then }: { atMs: Millis }) => then <= atMs && atMs - then < FORGOTTEN_MS
  return {
    ...before,
    reclaimed: kept(before.reclaimed, isRecent),
    frozen: kept(before.frozen, () => true),
    spared: kept(before.spared, untilMs => untilMs > atMs && untilMs - atMs <= SPARED_MS),
  }
}

function without<T>(all: Readonly<Record<SandboxId, T>>, id: SandboxId): Readonly<Record<SandboxId, T>> {
  return Object.fromEntries(Object.entries(all).filter(([each]) => each !== id))
}

const freeze = (id: SandboxId, frozen: boolean): Act => ({ kind: 'freeze', id, frozen, reason: 'memory' })
