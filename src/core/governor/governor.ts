// A governor is a control loop over a host's resources: sense, decide, act. Deciding is pure, so that what happened can be
// recorded and decided again in a test.
import type { SandboxId } from '../driver.ts'
import type { Decision, IoLimits } from './act.ts'
import type { ResourceAbilities } from './host-resources.ts'
import type { HostSample, JobSample, ProcessSample } from './sample.ts'

/** What a governor must know of an environment and cannot sense. */
export interface EnvironmentTerms {
  readonly id: SandboxId
  readonly name: string
  /** Share of processors among environments that compete, as its class has it: 100 is normal. */
  readonly cpuWeight: number
  /** Its class's ceiling. Absent: none. */
  readonly cores?: number
  /** What its class says of disks: its share among those that compete (100 is normal), and limits. Absent: nothing. */
  readonly io?: IoLimits
  readonly memoryBytes: number
  /** What it is promised even when all are busy. */
  readonly guaranteedBytes: number
  /** Absent: it is never suspended. */
  readonly suspendAfterMs?: number
  /** When somebody was last heard at its entrances, by the clock of the samples; undefined: not since this runner began. */
  readonly heardMs?: number
  /** The same of what somebody typed at a terminal: an answer is waited for. */
  readonly typedMs?: number
  /** So many are connected to it. */
  readonly connections: number
  /** So many of them to a terminal, which people leave open when they go. Absent: none. */
  readonly terminals?: number
}

export interface Sense {
  readonly host: HostSample
  readonly jobs: readonly JobSample[]
  readonly processes: readonly ProcessSample[]
  /** Whose jobs and processes were looked at this time; of the others the lists say nothing. */
  readonly looked: { readonly jobs: ReadonlySet<SandboxId>; readonly processes: ReadonlySet<SandboxId> }
  readonly terms: ReadonlyMap<SandboxId, EnvironmentTerms>
  /** Absent: all that there is. */
  readonly abilities?: ResourceAbilities
}

export interface Decided<State> {
  /** Handed to the next `decide`: all the memory that a governor has. Data only, as JSON holds it. */
  readonly state: State
  readonly decisions: readonly Decision[]
}

/** Whose jobs and processes are looked at: that costs a look at each of their processes. */
export interface Looks {
  readonly jobs?: readonly SandboxId[]
  readonly processes?: readonly SandboxId[]
}

export interface Governor<State> {
  readonly name: string
  readonly initial: State
  /**
   * Pure. What `decide` needs to see this time beyond the host's sample; asked before each. Others may have asked for more:
   * `decide` sees what all of them asked for, and not always everything (a look that took long is not repeated at once).
   */
  looks?(state: State, host: HostSample, terms: Sense['terms']): Looks
  /**
   * Pure. Environments that are not in `sense` any more are forgotten. What is to hold (`cpu`, `io`, `memory`, `freeze`,
   * `hold-killer`) may be decided again each time: only differences are acted upon. Of two governors that decide the same
   * act on the same environment, the later in the registry has its way.
   */
  decide(state: State, sense: Sense): Decided<State>
}
