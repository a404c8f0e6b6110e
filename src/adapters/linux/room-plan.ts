// How much room is left, and what follows from it: pure.
//
//   plenty ──▶ low: no new disks; what is deleted inside is given back ──▶ reserve: writers are held up
//
// What is held up is let go when there is more than `low` again: somebody has made room, not a byte came free by chance.

export interface RoomLimits {
  /** Below so many free bytes writers are held up: what they have written already must still land. */
  readonly reserveBytes: number
  /** Below so many, no new disk is made. */
  readonly lowBytes: number
}

const GIB = 2 ** 30
// Small hosts, as tests have them, keep less.
const RESERVE = { bytes: GIB / 2, share: 0.05 }
const LOW = { bytes: 2 * GIB, share: 0.35 }

/** For a pool on a file system of that size. */
export function roomLimits(totalBytes: number): RoomLimits {
  return {
    reserveBytes: Math.min(RESERVE.bytes, totalBytes * RESERVE.share),
    lowBytes: Math.min(LOW.bytes, totalBytes * LOW.share),
  }
}

export interface RoomSense {
  /** What the kernel is still to write counts as written. */
  readonly freeBytes: number
  /** By id: what each disk took, then and now. */
  readonly growth: ReadonlyMap<string, number>
  /** Whom we hold up already. */
  readonly held: ReadonlySet<string>
}

export interface RoomDecision {
  readonly admits: boolean
  /** Whom to hold up from now on; all others go. */
  readonly hold: ReadonlySet<string>
  readonly trims: boolean
}

// Less than this is what an idle environment writes: a log line, a time stamp.
const IDLE_BYTES = 64 * 1024

export function decideRoom(
  { freeBytes, growth, held }: RoomSense,
  { reserveBytes, lowBytes }: RoomLimits,
): RoomDecision {
  const admits = freeBytes >= lowBytes
  if (admits) return { admits, hold: new Set(), trims: false }
  const writers = [...growth].filter(([, bytes]) => bytes > IDLE_BYTES).map(([id]) => id)
  const newly = freeBytes >= reserveBytes ? [] : freeBytes < reserveBytes / 2 ? [...growth.keys()] : writers
  return { admits, hold: new Set([...held, ...newly]), trims: true }
}

/** Bytes that the kernel has taken from writers and not written yet, from the text of /proc/meminfo. */
export function dirtyBytes(meminfo: string): number {
  const kilobytes = /^Dirty:\s+(\d+) kB/m.exec(meminfo)?.[1] ?? '0'
  return Number(kilobytes) * 1024
}
