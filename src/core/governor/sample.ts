// What governors see: a host and its environments at one moment. Counters only grow; what happened between two moments
// is their difference.
import type { Millis } from '../../lib/clock.ts'
import type { SandboxId } from '../driver.ts'

/** Time that tasks lost waiting for a resource, in microseconds: at least one of them, all of them (kernel: PSI). */
export interface Stalls {
  readonly someUs: number
  readonly fullUs: number
}

export interface Pressure {
  readonly cpu?: Stalls
  readonly memory?: Stalls
  readonly io?: Stalls
}

/** Absent: the kernel does not say, or nobody looked closely this time. */
export interface EnvironmentSample {
  readonly id: SandboxId
  readonly cpu: {
    /** Of everything in it. */
    readonly usageUs: number
    /** Of `session` alone. */
    readonly sessionUs: number
    /** How long a ceiling of ours, or of its class, held it up. */
    readonly throttledUs?: number
    readonly throttledTimes?: number
  }
  readonly memory: {
    /** Resident, page cache included. */
    readonly bytes: number
    readonly swapBytes?: number
    readonly limitBytes: number
    /** Processes that the kernel has shot so far. */
    readonly oomKills: number
    /** The latest of them, if the kernel said who it was. */
    readonly lastShot?: { readonly name: string; readonly bytes: number }
    /** Somebody inside has made groups of memory, each of which may have a ceiling of its own (version 1). */
    readonly isDivided?: boolean
    /** At its ceiling this moment, with somebody waiting (only where the kernel's killer is held back). */
    readonly isStuck?: boolean
  }
  readonly io?: {
    readonly readBytes: number
    readonly writtenBytes: number
    /** How long its disk had something to do, and of what it did the number, and how long that took each, added up. */
    readonly busyUs?: number
    readonly operations?: number
    readonly operationsUs?: number
  }
  readonly network?: { readonly receivedBytes: number; readonly sentBytes: number }
  readonly processes: number
  /** How often a process or thread was refused, its class's ceiling being reached. */
  readonly processesRefused?: number
  readonly pressure?: Pressure
  readonly isFrozen: boolean
}

export interface HostSample {
  /** Of a clock that nobody sets (monotonic). */
  readonly atMs: Millis
  readonly cores: number
  /** Time that its processors were not idle, all together. */
  readonly busyUs: number
  readonly memory: {
    readonly totalBytes: number
    /** What could be given away without swapping. */
    readonly availableBytes: number
    readonly swapTotalBytes: number
    readonly swapFreeBytes: number
  }
  readonly pressure?: Pressure
  readonly environments: ReadonlyMap<SandboxId, EnvironmentSample>
}

/** One job in an environment, as a shell makes it: a group of processes (setpgid). Sampled in environments that are busy. */
export interface JobSample {
  readonly environment: SandboxId
  /** Number of the process group, on the host, and when its first process began: together they name it for good. */
  readonly group: number
  readonly startedTicks: number
  readonly pids: readonly number[]
  /** How many of its processes run this moment, or could. */
  readonly runnable: number
  /** Of its processes and of those of their children that have ended. */
  readonly cpuUs: number
  readonly in: 'session' | 'work'
  /** It came in through the gateway: it, or an ancestor, was born in `session`. */
  readonly isFromSession: boolean
  /** Name of its first process, for people only; nothing is decided by it. */
  readonly name: string
}

/** One process, looked for when memory is short. */
export interface ProcessSample {
  readonly environment: SandboxId
  readonly pid: number
  readonly startedTicks: number
  readonly name: string
  /** Resident and swapped. */
  readonly bytes: number
  readonly in: 'session' | 'work'
  readonly oomScoreAdjust: number
}
