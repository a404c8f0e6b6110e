import type { SandboxId } from '../driver.ts'
import type { Act } from './act.ts'
import type { HostSample, JobSample, ProcessSample } from './sample.ts'

/** What this host's kernel offers; governors leave out what is missing, `doctor` says so. */
export interface ResourceAbilities {
  readonly cpuWeights: boolean
  readonly cpuCeilings: boolean
  readonly pressure: boolean
  readonly freeze: boolean
  readonly reclaim: boolean
  readonly ioLimits: boolean
  readonly ioWeights: boolean
  /** Where memory can be pushed out to. */
  readonly swap: 'zram' | 'swap' | 'none'
  /** The kernel's killer can be held back (version 1). */
  readonly holdKiller: boolean
}

/**
 * A host's resources as governors see them and act upon them. What is gone (an environment that ended, a process) is
 * neither an error to sense nor to act upon.
 */
export interface HostResources {
  readonly abilities: ResourceAbilities
  /** Cheap: some microseconds for each environment. */
  sense(): Promise<HostSample>
  /** Jobs of one environment; costs a look at each of its processes. */
  jobs(id: SandboxId): Promise<readonly JobSample[]>
  processes(id: SandboxId): Promise<readonly ProcessSample[]>
  /**
   * Makes it hold. Whatever tightens is undone when this process ends, however it ends: nobody stays held up by a
   * governor that is not there any more. Faults with `unsupported` when the abilities say so.
   */
  act(act: Act, signal: AbortSignal): Promise<void>
  /** Somebody is at its door: no governor holds it up any more. Before anything else that concerns it, so it is quick. */
  wake(id: SandboxId): Promise<void>
  /** Undoes everything at once, as the end of the process would. */
  release(): Promise<void>
}
