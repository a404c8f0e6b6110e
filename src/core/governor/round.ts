// One round of all governors, decided from data alone: what the loop acts upon and a recording plays again.
import type { SandboxId } from '../driver.ts'
import type { Decision } from './act.ts'
import type { EnvironmentTerms, Governor, Looks, Sense } from './governor.ts'
import type { HostSample } from './sample.ts'

/** What each governor remembers, by its name. Data only. */
export type States = Readonly<Record<string, unknown>>

export interface Round {
  readonly states: States
  /** In the order of the registry. */
  readonly decisions: readonly Decision[]
  /** Governors that failed: a mistake in one stops no other. Their states are as they were. */
  readonly failures: readonly { readonly governor: string; readonly error: unknown }[]
}

/** What all of them want to see this time. */
export function looksOf(
  governors: readonly Governor<unknown>[],
  states: States,
  host: HostSample,
  terms: ReadonlyMap<SandboxId, EnvironmentTerms>,
): Required<Looks> {
  const jobs = new Set<SandboxId>()
  const processes = new Set<SandboxId>()
  for (const governor of governors) {
    try {
      const looks = governor.looks?.(stateOf(governor, states), host, terms)
      for (const id of looks?.jobs ?? []) jobs.add(id)
      for (const id of looks?.processes ?? []) processes.add(id)
    } catch {
      // It fails again when it decides, and is reported then.
    }
  }
  return { jobs: [...jobs], processes: [...processes] }
}

export function decideRound(governors: readonly Governor<unknown>[], states: States, sense: Sense): Round {
  const next: Record<string, unknown> = {}
  const decisions: Decision[] = []
  const failures: { governor: string; error: unknown }[] = []
  for (const governor of governors) {
    const before = stateOf(governor, states)
    try {
      const decided = governor.decide(before, sense)
      next[governor.name] = decided.state
      decisions.push(...decided.decisions)
    } catch (error) {
      next[governor.name] = before
      failures.push({ governor: governor.name, error })
    }
  }
  return { states: next, decisions, failures }
}

function stateOf(governor: Governor<unknown>, states: States): unknown {
  return governor.name in states ? states[governor.name] : governor.initial
}

/** Of the host, if no more of it is busy nobody is kept from anything. */
const CALM_BUSY = 0.2

/**
 * Nothing can become of what goes on now that has to be answered at once: rounds may be rarer. Who is quiet comes first
 * without a decision, and whoever types asks for a round.
 */
export function isCalm(before: HostSample | undefined, host: HostSample): boolean {
  const spanUs = (host.atMs - (before?.atMs ?? Number.NaN)) * 1000
  const isIdle = host.busyUs - (before?.busyUs ?? Number.NaN) <= CALM_BUSY * host.cores * spanUs
  return isIdle && [...host.environments.values()].every(({ memory }) => memory.isStuck !== true)
}
