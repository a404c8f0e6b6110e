// What governors do. Each act says what is to hold from now on; doing it twice changes nothing.
import type { SandboxId } from '../driver.ts'

/** Weights count in the kernel's units of version 2: 1 to 10000, 100 is everybody's. */
export type Weight = number

export interface CpuLimits {
  /** Of the environment, against the others. */
  readonly weight: Weight
  /** Of what people look at, and of everything else, against each other within the environment. */
  readonly sessionWeight: Weight
  readonly workWeight: Weight
  /** Most cores that `work` gets. Absent: all. */
  readonly workCores?: number
  /** Most cores that the environment gets: its class's. Absent: all. */
  readonly cores?: number
}

export interface IoLimits {
  readonly weight?: Weight
  readonly readBytesPerSecond?: number
  readonly writeBytesPerSecond?: number
}

/** It has nothing to do, or the host's memory is short: each is let go by itself, and none undoes the other. */
export type FreezeReason = 'idle' | 'memory'

export type Act =
  | { readonly kind: 'cpu'; readonly id: SandboxId; readonly limits: CpuLimits }
  | { readonly kind: 'io'; readonly id: SandboxId; readonly limits: IoLimits }
  /** Moves a job's processes, and what they start from then on. */
  | {
      readonly kind: 'move'
      readonly id: SandboxId
      readonly group: number
      readonly startedTicks: number
      readonly to: 'session' | 'work'
    }
  /** What the kernel shall leave to it when memory is short (version 2), and the ceiling. */
  | {
      readonly kind: 'memory'
      readonly id: SandboxId
      readonly protectedBytes?: number
      readonly limitBytes?: number
    }
  /** Pushes so many bytes out to swap, compressed memory or the disk; what is in use comes back. */
  | { readonly kind: 'reclaim'; readonly id: SandboxId; readonly bytes: number }
  /** Holds up everything in it, for as long as one of the reasons says so; entering it ends all of them. */
  | {
      readonly kind: 'freeze'
      readonly id: SandboxId
      readonly frozen: boolean
      readonly reason: FreezeReason
    }
  /** The kernel's own killer is held back while somebody here acts in its place (version 1). */
  | { readonly kind: 'hold-killer'; readonly id: SandboxId; readonly held: boolean }
  /** `name` and `bytes` are for people. */
  | {
      readonly kind: 'kill'
      readonly id: SandboxId
      readonly pid: number
      readonly startedTicks: number
      readonly name?: string
      readonly bytes?: number
    }

/** An act with its reason, in words for people: shown by `bothy top`, in events and in recordings. */
export interface Decision {
  readonly governor: string
  readonly act: Act
  readonly why: string
}
