// A governor is a control loop over a host's resources: sense, decide, act. Deciding is pure, so that what happened can be
// recorded and decided again in a test.
import type { SandboxId } from '../driver.ts'
import type { Decision } from './act.ts'
import type { HostSample, JobSample, ProcessSample } from './sample.ts'

/** What a governor must know of an environment and cannot sense. */
export interface EnvironmentTerms {
  readonly id: SandboxId
  readonly name: string
  /** Share of processors among environments that compete, as its class has it: 100 is normal. */
  readonly cpuWeight: number
  /** Its class's ceiling. Absent: none. */
  readonly cores?: number
  readonly memoryBytes: number
  /** What it is promised even when all are busy. */
  readonly guaranteedBytes: number
  /** Absent: it is never suspended. */
  readonly suspendAfterMs?: number
  /** When somebody was last heard at its entrances, by the clock of the samples; undefined: not since this runner began. */
  readonly heardMs?: number
  /** So many are connected to it. */
  readonly connections: number
}

export interface Sense {
  readonly host: HostSample
  readonly jobs: readonly JobSample[]
  readonly processes: readonly ProcessSample[]
  readonly terms: ReadonlyMap<SandboxId, EnvironmentTerms>
}

export interface Decided<State> {
  /** Handed to the next `decide`: all the memory that a governor has. Data only, as JSON holds it. */
  readonly state: State
  readonly decisions: readonly Decision[]
}

export interface Governor<State> {
  readonly name: string
  readonly initial: State
  /** Pure. Environments that are not in `sense` any more are forgotten. */
  decide(state: State, sense: Sense): Decided<State>
}
