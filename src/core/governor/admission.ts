// How many environments a host takes, and why not one more: pure. What is counted is what was promised, not what is used
// at the moment: an environment is bound to its host for good, and everybody on it may be busy tomorrow.

/** What a host has for environments. */
export interface HostCapacity {
  readonly memoryBytes: number
  /** So much of that is promised; above 1, swap makes up for it. */
  readonly memoryRatio: number
  /** Of the file system of the disks. Absent: not told, and nobody is refused for it. */
  readonly diskBytes?: number
  /** Disks are sparse and share what they have in common: so much of that is promised to them. */
  readonly diskRatio?: number
}

/** What an environment is promised. */
export interface Claim {
  /** Nothing while it is stopped. */
  readonly memoryBytes: number
  readonly diskBytes: number
}

export type Admission = { readonly admits: true } | { readonly admits: false; readonly why: string }

/**
 * May one more with that claim be bound to the host? An empty host takes whatever comes: how it goes there is for whoever
 * asked for it to see, and small machines have no other.
 */
export function admit(capacity: HostCapacity, promised: readonly Claim[], asked: Claim): Admission {
  if (promised.length === 0) return { admits: true }
  const lacks: string[] = []
  const judge = (what: string, has: number, taken: number, wanted: number) => {
    if (taken + wanted > has)
      lacks.push(`${gibibytes(taken)} of ${gibibytes(has)} GiB of ${what} are promised, ${wants(wanted)}`)
  }
  const { memoryBytes, memoryRatio, diskBytes, diskRatio = 1 } = capacity
  const sum = (of: (claim: Claim) => number) => promised.reduce((total, each) => total + of(each), 0)
  judge(
    'memory',
    memoryBytes * memoryRatio,
    sum(each => each.memoryBytes),
    asked.memoryBytes,
  )
  if (diskBytes !== undefined)
    judge(
      'disk',
      diskBytes * diskRatio,
      sum(each => each.diskBytes),
      asked.diskBytes,
    )
  return lacks.length === 0 ? { admits: true } : { admits: false, why: lacks.join('; ') }
}

/** What a host of that size keeps for itself: page tables of everybody, the runner, a package manager. */
export function hostReserveBytes(totalBytes: number): number {
  return Math.min(2 ** 30, totalBytes / 10)
}

/** How much of its memory a host promises when its operator says nothing. */
export function memoryRatioOf(hasSwap: boolean): number {
  // Idle environments shrink to a thirtieth where there is swap (340 MB to 10 MB with compressed memory, 2026-11);
  // half again as much is well within that, even when half of them are busy.
  return hasSwap ? 1.5 : 1
}

const wants = (bytes: number): string => `${gibibytes(bytes)} GiB more were asked for`
const gibibytes = (bytes: number): string => (bytes / 2 ** 30).toFixed(1)
