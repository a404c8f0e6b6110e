// What environments move to and from their disks, from counters: once a second, pure.
import type { Millis } from '../../lib/clock.ts'
import type { SandboxId } from '../driver.ts'
import type { EnvironmentSample, HostSample } from './sample.ts'

/** Counters are looked at once a second, and of those who are quiet every two. */
const EVERY_MS: Millis = 1_000
/** Of the latest values: so much of what is new. */
const WEIGHT = 0.5
/** An idle SSD takes a tenth of that for each. */
const SLOW_US = 2_000
/** What has just begun is measured a few times: its first second is half a second. */
const SETTLED = 4

interface Counted {
  readonly readBytes: number
  readonly writtenBytes: number
  readonly stalledUs: number
  readonly busyUs: number
  readonly operations: number
  readonly operationsUs: number
  /** How often its rates were measured. */
  readonly looks: number
  /** Smoothed. Absent: it was counted once only. */
  readonly read?: number
  readonly written?: number
  readonly waits?: number
}

export interface IoCounts {
  readonly atMs?: Millis
  readonly stalledUs: number
  readonly waits: number
  readonly environments: Readonly<Record<SandboxId, Counted>>
}

export const NO_COUNTS: IoCounts = { stalledUs: 0, waits: 0, environments: {} }

export interface IoRate {
  readonly id: SandboxId
  readonly bytesPerSecond: number
  /** What part of it are writes: 0 to 1. */
  readonly writes: number
  /** Share of the time that something in it waited for a disk. */
  readonly waits: number
  /** It was measured often enough to know what it would move. */
  readonly isSettled: boolean
}

export interface Advanced {
  readonly counts: IoCounts
  /** Undefined: it is not time yet. */
  readonly rates?: readonly IoRate[]
  /** Share of the time that something on the host waited for a disk. */
  readonly hostWaits: number
}

export function advanceIo(counts: IoCounts, host: HostSample): Advanced {
  const ms = counts.atMs === undefined ? Infinity : host.atMs - counts.atMs
  // A clock that began anew is a first look.
  if (ms >= 0 && ms < EVERY_MS) return { counts, hostWaits: counts.waits }
  const isFirst = ms < 0 || ms === Infinity
  const stalledUs = host.pressure?.io?.someUs ?? 0
  const waits = isFirst ? 0 : smooth(counts.waits, share(stalledUs - counts.stalledUs, ms))
  const environments = Object.fromEntries(
    [...host.environments.values()].map(sample => {
      const before = isFirst ? undefined : counts.environments[sample.id]
      return [sample.id, count(before, sample, ms)]
    }),
  )
  return {
    counts: { atMs: host.atMs, stalledUs, waits, environments },
    rates: Object.entries(environments).map(([id, each]) => rateOf(id, each)),
    hostWaits: waits,
  }
}

function count(before: Counted | undefined, { io, pressure }: EnvironmentSample, ms: Millis): Counted {
  const { readBytes = 0, writtenBytes = 0 } = io ?? {}
  const { busyUs = 0, operations = 0, operationsUs = 0 } = io ?? {}
  const stalledUs = pressure?.io?.someUs ?? 0
  const looks = before === undefined ? 0 : Math.min(before.looks + 1, SETTLED)
  const now = { readBytes, writtenBytes, stalledUs, busyUs, operations, operationsUs, looks }
  if (before === undefined) return now
  return {
    ...now,
    read: smooth(before.read, perSecond(readBytes - before.readBytes, ms)),
    written: smooth(before.written, perSecond(writtenBytes - before.writtenBytes, ms)),
    waits: smooth(before.waits, waitsBetween(now, before, ms)),
  }
}

/**
 * The kernel's pressure does not count who waits for a journal, as everybody does who makes sure that a file is on the disk.
 * So a disk that has something to do is waited for, too, unless it is quick.
 */
function waitsBetween(now: Counted, before: Counted, ms: Millis): number {
  const stalled = share(now.stalledUs - before.stalledUs, ms)
  const operations = now.operations - before.operations
  const isSlow = operations > 0 && now.operationsUs - before.operationsUs >= operations * SLOW_US
  return Math.max(stalled, isSlow ? share(now.busyUs - before.busyUs, ms) : 0)
}

function rateOf(id: SandboxId, { read = 0, written = 0, waits = 0, looks }: Counted): IoRate {
  const bytesPerSecond = read + written
  const writes = bytesPerSecond === 0 ? 0 : written / bytesPerSecond
  return { id, bytesPerSecond, writes, waits, isSettled: looks >= SETTLED }
}

const smooth = (before: number | undefined, now: number): number =>
  before === undefined ? now : before + WEIGHT * (now - before)
/** Of a device that is another one than before counters may be smaller. */
const perSecond = (bytes: number, ms: Millis): number => (Math.max(0, bytes) * 1000) / ms
const share = (us: number, ms: Millis): number => Math.min(1, Math.max(0, us) / 1000 / ms)
