// What this runner has for environments, as it tells the scheduler: pure.
import type { RunnerStatus } from '../api/kinds/runner.ts'
import { formatQuantity } from '../api/quantity.ts'
import { hostReserveBytes, memoryRatioOf } from '../core/governor/admission.ts'

export interface HostSize {
  readonly cores: number
  readonly memoryBytes: number
  readonly hasSwap: boolean
  /** Of the file system of the disks. Undefined: it does not matter, or is not known yet. */
  readonly diskBytes: number | undefined
}

/** What its operator decides; see docs/operate/runner-configuration.md. */
export interface CapacityTerms {
  readonly memoryRatio?: number | undefined
  readonly diskRatio?: number | undefined
}

const MIB = 2 ** 20
const whole = (bytes: number): string => formatQuantity(Math.max(1, Math.floor(bytes / MIB)) * MIB)

/** Rounded, so that a reboot with a page more or less is no news. */
export function describeCapacity(
  { cores, memoryBytes, hasSwap, diskBytes }: HostSize,
  { memoryRatio = memoryRatioOf(hasSwap), diskRatio = 1 }: CapacityTerms = {},
): NonNullable<RunnerStatus['capacity']> {
  return {
    cores,
    memory: whole(memoryBytes - hostReserveBytes(memoryBytes)),
    memoryRatio,
    ...(diskBytes === undefined ? {} : { disk: whole(diskBytes), diskRatio }),
  }
}
