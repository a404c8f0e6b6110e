// The governor of memory: each environment at its own ceiling (memory-ceiling.ts), and all of them when the host's memory
// is short (memory-pressure.ts). It acts before the kernel shoots, since the kernel cannot tell a shell from a build.
import type { SandboxId } from '../driver.ts'
import type { Decision } from './act.ts'
import type { EnvironmentTerms, Governor } from './governor.ts'
import { type Quiet, watchQuiet } from './idle.ts'
import { answerCeiling, type Ceiling, isStuck } from './memory-ceiling.ts'
import { CALM, type Candidate, greediest, type Pressed, pressureLevel, relieve } from './memory-pressure.ts'
import type { HostSample, ProcessSample } from './sample.ts'

interface Known {
  readonly quiet: Quiet
  readonly ceiling: Ceiling
}

export interface MemoryState {
  readonly environments: Readonly<Record<SandboxId, Known>>
  readonly pressed: Pressed
}

const NAME = 'memory'

export const memory: Governor<MemoryState> = {
  name: NAME,
  initial: { environments: {}, pressed: CALM },
  looks(state, host, terms) {
    const stuck = [...host.environments.values()].filter(isStuck).map(({ id }) => id)
    if (pressureLevel(host) !== 'emergency') return { processes: stuck }
    const candidates = candidatesOf(host, terms, state.environments)
    return { processes: [...new Set([...stuck, ...greediest(candidates).map(({ sample }) => sample.id)])] }
  },
  decide(state, sense) {
    const { host, terms, looked } = sense
    const candidates = candidatesOf(host, terms, state.environments)
    const processes = Map.groupBy(sense.processes, each => each.environment)
    const environments: Record<SandboxId, Known> = {}
    const decisions: Decision[] = []
    for (const { sample, terms: its, quiet } of candidates) {
      const { id } = sample
      const seen: readonly ProcessSample[] | undefined = looked.processes.has(id)
        ? (processes.get(id) ?? [])
        : undefined
      const { ceiling, acts } = answerCeiling(state.environments[id]?.ceiling ?? {}, sample, its, {
        atMs: host.atMs,
        processes: seen,
        canHold: sense.abilities?.holdKiller === true,
      })
      environments[id] = { quiet, ceiling }
      decisions.push(...acts.map(each => ({ governor: NAME, ...each })))
    }
    const { pressed, acts } = relieve(state.pressed, candidates, sense)
    decisions.push(...acts.map(each => ({ governor: NAME, ...each })))
    return { state: { environments, pressed }, decisions }
  },
}

function candidatesOf(
  host: HostSample,
  terms: ReadonlyMap<SandboxId, EnvironmentTerms>,
  known: MemoryState['environments'],
): readonly Candidate[] {
  const candidates: Candidate[] = []
  for (const [id, sample] of host.environments) {
    const its = terms.get(id)
    if (its === undefined) continue
    candidates.push({ sample, terms: its, quiet: watchQuiet(known[id]?.quiet, sample, host.atMs) })
  }
  return candidates
}
