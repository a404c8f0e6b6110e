// Who gets the disks when there is not enough of them. What a class limits is limited always. Beyond that, environments
// that move more than their share are slowed down only while others wait for the disk and get less than theirs, and let go
// step by step when nobody waits any more.
//
//   I1. Nobody is held while nobody waits, except by the limits of its class.
//   I2. Nobody is held below its share of what the disks have been seen to move, nor below FLOOR.
//   I3. Steady input gives steady output: a limit follows what is moved, not the limit before it; who was let go and is
//       held again at once is let go later the next time.

import type { Millis } from '../../lib/clock.ts'
import type { SandboxId } from '../driver.ts'
import type { Decision, IoLimits } from './act.ts'
import type { EnvironmentTerms, Governor, Sense } from './governor.ts'
import { advanceIo, type IoCounts, type IoRate, NO_COUNTS } from './io-rates.ts'

const MIB = 2 ** 20
/** A shell and an editor are served with less; a snapshot that is taken meanwhile does not wait long for what is dirty. I2 */
const FLOOR = 16 * MIB
/** Who moves less is no hog, whatever its share. */
const NOTICED = 4 * MIB
/** Share of the time: of the host that somebody waited for a disk, and of the environment that waits. */
const PRESSED = 0.2
const WAITS = 0.2
/** Parts of a fair share: who has less is short, who has more is greedy. */
const SHORT = 0.8
const GREEDY = 1.2
/** What is left to the greedy each time. */
const CUT = 0.7
const RAISE = 1.5
/** What the disks were seen to move is remembered for a minute or two: so much of it each second. */
const FADES = 0.99
/** Nobody waits for so long before a limit is raised; doubled for who was let go too early. I3 */
const PATIENCE_MS: Millis = 3_000
const MOST_PATIENCE_MS: Millis = 60_000
const FORGIVEN_MS: Millis = 120_000

interface Held {
  /** Absent: let go. */
  readonly bytesPerSecond?: number
  /** What part of it are writes. */
  readonly writes: number
  /** Since when nobody waits on its account, or when it was let go. */
  readonly calmMs: Millis
  readonly patienceMs: Millis
  readonly why: string
}

export interface IoState {
  readonly counts: IoCounts
  /** Bytes a second that the disks have been seen to move. While somebody is held they could do more than they do. */
  readonly capacity: number
  readonly held: Readonly<Record<SandboxId, Held>>
}

export const io: Governor<IoState> = {
  name: 'io',
  initial: { counts: NO_COUNTS, capacity: 0, held: {} },
  decide(state, sense) {
    if (sense.abilities?.ioLimits === false) return { state, decisions: [] }
    const { counts, rates, hostWaits } = advanceIo(state.counts, sense.host)
    const present = Object.entries(state.held).filter(([id]) => sense.host.environments.has(id))
    const before = Object.fromEntries(present)
    // Looked at once a second; in between what was decided goes on.
    if (rates === undefined)
      return { state: { ...state, counts, held: before }, decisions: decisionsOf(before, sense) }
    const capacity = capacityOf(state.capacity, before, rates)
    const held = holdGreedy(before, rates, { capacity, hostWaits }, sense)
    return { state: { counts, capacity, held }, decisions: decisionsOf(held, sense) }
  },
}

function capacityOf(before: number, held: IoState['held'], rates: readonly IoRate[]): number {
  const total = rates.reduce((sum, each) => sum + each.bytesPerSecond, 0)
  const isHolding = Object.values(held).some(each => each.bytesPerSecond !== undefined)
  return Math.max(total, isHolding ? before : before * FADES)
}

function holdGreedy(
  before: IoState['held'],
  rates: readonly IoRate[],
  { capacity, hostWaits }: { readonly capacity: number; readonly hostWaits: number },
  { host: { atMs }, terms }: Sense,
): IoState['held'] {
  const shares = fairShares(rates, capacity, terms)
  const shareOf = (id: SandboxId) => shares.get(id) ?? Infinity
  const short = rates.filter(each => each.waits >= WAITS && each.bytesPerSecond < SHORT * shareOf(each.id))
  const waiting = hostWaits >= PRESSED ? short : []
  const held: Record<SandboxId, Held> = {}
  for (const rate of rates) {
    const { id, bytesPerSecond, isSettled } = rate
    const known = before[id]
    const [victim] = waiting.filter(each => each.id !== id)
    const isGreedy = isSettled && bytesPerSecond > Math.max(NOTICED, GREEDY * shareOf(id))
    const isHeld = known?.bytesPerSecond !== undefined
    if (victim !== undefined && isGreedy)
      held[id] = hold(known, rate, shareOf(id), nameOf(victim, terms), atMs)
    // Held where it is: somebody waits still, perhaps on its account.
    else if (victim !== undefined && isHeld) held[id] = { ...known, calmMs: atMs }
    else if (isHeld) held[id] = raise(known, rate, atMs)
    else if (known !== undefined && atMs - known.calmMs < FORGIVEN_MS) held[id] = known
  }
  return held
}

function hold(known: Held | undefined, rate: IoRate, share: number, victim: string, atMs: Millis): Held {
  const { bytesPerSecond, writes } = rate
  const limit = Math.max(FLOOR, share, CUT * bytesPerSecond)
  // A limit that is as good as the one that holds stays: each change is a write to the kernel, and news.
  const isSame =
    known?.bytesPerSecond !== undefined &&
    limit >= 0.9 * known.bytesPerSecond &&
    limit < 1.5 * known.bytesPerSecond
  if (isSame) return { ...known, calmMs: atMs }
  const isAgain = known !== undefined && known.bytesPerSecond === undefined
  const patienceMs = isAgain
    ? Math.min(MOST_PATIENCE_MS, known.patienceMs * 2)
    : (known?.patienceMs ?? PATIENCE_MS)
  const why = `moves ${mib(bytesPerSecond)}/s while ${victim} waits for the disk`
  return { bytesPerSecond: limit, writes, calmMs: atMs, patienceMs, why }
}

function raise(known: Held, { bytesPerSecond }: IoRate, atMs: Millis): Held {
  if (atMs - known.calmMs < known.patienceMs) return known
  const { bytesPerSecond: limit = 0, ...rest } = known
  // It does not want more than this leaves it: there is nothing to be held.
  if (limit > 2 * Math.max(FLOOR, bytesPerSecond))
    return { ...rest, calmMs: atMs, why: 'nobody waits for the disk' }
  return { ...known, bytesPerSecond: RAISE * limit, why: 'fewer wait for the disk' }
}

/** Of what can be moved, by weight, among those who move something or wait to. */
function fairShares(
  rates: readonly IoRate[],
  capacity: number,
  terms: ReadonlyMap<SandboxId, EnvironmentTerms>,
): ReadonlyMap<SandboxId, number> {
  const active = rates.filter(each => each.bytesPerSecond > NOTICED || each.waits >= WAITS)
  const weights = active.reduce((sum, each) => sum + weightOf(each.id, terms), 0)
  return new Map(active.map(({ id }) => [id, (capacity * weightOf(id, terms)) / weights]))
}

const weightOf = (id: SandboxId, terms: ReadonlyMap<SandboxId, EnvironmentTerms>): number =>
  terms.get(id)?.io?.weight ?? 100
const nameOf = ({ id }: IoRate, terms: ReadonlyMap<SandboxId, EnvironmentTerms>): string =>
  terms.get(id)?.name ?? id

/** Of those that a class limits, and those that were ever held: of them, too, when they are let go. */
function decisionsOf(held: IoState['held'], { host, terms, abilities }: Sense): Decision[] {
  return [...host.environments.keys()].flatMap(id => {
    const own = terms.get(id)?.io ?? {}
    const its = held[id]
    const weight = abilities?.ioWeights === false ? undefined : own.weight
    const hasOwn =
      weight !== undefined || own.readBytesPerSecond !== undefined || own.writeBytesPerSecond !== undefined
    if (!hasOwn && its === undefined) return []
    const limits = { ...(weight === undefined ? {} : { weight }), ...least(own, its) }
    const why = its?.why ?? 'what its class says'
    return [{ governor: 'io', act: { kind: 'io', id, limits }, why }]
  })
}

function least(own: IoLimits, held: Held | undefined): IoLimits {
  const limit = held?.bytesPerSecond
  // What it hardly does keeps a quarter, so that it can begin to.
  const part = (share: number) => (limit === undefined ? Infinity : limit * Math.max(0.25, share))
  const writes = held?.writes ?? 0
  const read = Math.min(own.readBytesPerSecond ?? Infinity, part(1 - writes))
  const written = Math.min(own.writeBytesPerSecond ?? Infinity, part(writes))
  return {
    ...(read === Infinity ? {} : { readBytesPerSecond: Math.round(read) }),
    ...(written === Infinity ? {} : { writeBytesPerSecond: Math.round(written) }),
  }
}

const mib = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`
