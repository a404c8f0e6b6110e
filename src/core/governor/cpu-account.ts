// What is known of each environment's use of processors: how fast it uses them, what its share would be, and its credit.
// Times are those of the samples' clock; cores are processors used on average, credit is core-seconds.
import type { SandboxId } from '../driver.ts'
import type { EnvironmentTerms, Sense } from './governor.ts'
import type { EnvironmentSample, HostSample } from './sample.ts'
import { divide } from './shares.ts'

/** The host is contended when less than this part of it was idle, until more than the other was for `CALM_MS`. */
const CONTENDED_IDLE = 0.1
const CALM_IDLE = 0.2
const CALM_MS = 1_000
/** Use is averaged over about so long: two rounds, so that one compiler more or less changes nothing. */
const AVERAGE_MS = 500
/**
 * Somebody works in it: typed in the last so long, or is heard, with something that answers, at this moment. To be
 * connected is not enough: that is true of every build that somebody has started and looks at.
 */
const ATTENDED_MS = 30_000
const HEARD_MS = 5_000
/** Somebody types this moment. */
const TYPING_MS = 5_000
/** More of its session in one round than a blinking prompt takes, as a part of a core. */
const SESSION_AWAKE = 0.005
/**
 * Credit of weight 100: three seconds of two cores, for a machine of two. What is new has a little: it starts. Waiting
 * for processors costs as well (`LEAK`), so that hogs which have only just met lose theirs within ten seconds.
 */
const CREDIT = 10
const FIRST_CREDIT = 3
const LEAK = 1
/** Spent is spent until so much is there again. C4 */
const SPENT_UNTIL = 1
/**
 * So much of the session of weight 100 counts for nothing while somebody types: answers are what everything is for, and a
 * share beside sixteen others is less than a completion now and then takes. Quarters of a core, not all there is.
 */
const ALLOWANCE = { cores: 0.25, ofHost: 1 / 8 } as const
/** Below this part of its share an environment saves, above the other it spends. */
const SAVES_BELOW = 0.5
const SPENDS_ABOVE = 0.7
/** Who spent saves again after having used little for so long. C4 */
const SAVES_AFTER_MS = 1_000
/** Tasks waited for so much of the time: it wants more than it gets (kernel: PSI). */
const WAITING = 0.2
/** Longer gaps are a runner that was held up, or a machine that slept: what happened in them is nobody's to pay. */
const LONGEST_MS = 1_000
const SHORTEST_MS = 20

export interface Account {
  readonly usageUs: number
  readonly sessionUs: number
  readonly throttledUs: number
  readonly waitedUs: number
  /** Averages. */
  readonly cores: number
  readonly sessionCores: number
  /** Of `cores`, what counts against its share. */
  readonly counted: number
  readonly credit: number
  readonly spent: boolean
  /** It uses less than a part of its share, and not because others keep it from more. */
  readonly saves: boolean
  /** For so long it has used little. */
  readonly littleMs: number
  /** Nobody says whether it waits. */
  readonly blind: boolean
  /** It would use more. */
  readonly hungry: boolean
  /** What it could have if it wanted: cores. */
  readonly share: number
  /** When its session last did something. Absent: never seen to. */
  readonly awakeMs?: number
}

export interface HostAccount {
  readonly atMs: number
  readonly busyUs: number
  readonly contended: boolean
  /** The part of all processors that had nothing to do, most lately. */
  readonly idle: number
  /** Since when there has been enough. */
  readonly calmMs: number
  /** What environments have of the host together, when it is contended: cores. */
  readonly capacity: number
}

export interface Accounts {
  readonly host?: HostAccount
  readonly environments: Readonly<Record<SandboxId, Account>>
}

export const NO_ACCOUNTS: Accounts = { environments: {} }

const TERMS: Pick<EnvironmentTerms, 'cpuWeight' | 'cores' | 'heardMs' | 'typedMs' | 'connections'> = {
  cpuWeight: 100,
  connections: 0,
}

/** Of environments that the API has not told of yet, those of a normal class. */
export function termsOf({ terms }: Pick<Sense, 'terms'>, id: SandboxId): typeof TERMS {
  return terms.get(id) ?? TERMS
}

/** See `ALLOWANCE`. */
function allowance({ cores }: HostSample, { cpuWeight }: typeof TERMS): number {
  return (Math.min(ALLOWANCE.cores, ALLOWANCE.ofHost * cores) * cpuWeight) / 100
}

/** Somebody waits for its answers this moment. */
export function isTyping({ typedMs = -Infinity }: Pick<EnvironmentTerms, 'typedMs'>, atMs: number): boolean {
  return atMs - typedMs < TYPING_MS
}

/** Somebody works in it. */
export function isAttended(account: Account, { heardMs, typedMs }: typeof TERMS, atMs: number): boolean {
  const isWithin = (sinceMs: number | undefined, ms: number) => sinceMs !== undefined && atMs - sinceMs < ms
  return (
    isWithin(typedMs, ATTENDED_MS) || (isWithin(heardMs, HEARD_MS) && isWithin(account.awakeMs, HEARD_MS))
  )
}

/**
 * What is known after `sense`. Undefined: nothing new can be said yet. A clock that went back, and counters that did,
 * begin anew; credit stays. `rankOf`: who comes before whom, the first with the highest.
 */
export function advance(
  before: Accounts,
  sense: Sense,
  rankOf: (id: SandboxId) => number,
): Accounts | undefined {
  const { host } = sense
  const spanMs = host.atMs - (before.host?.atMs ?? Number.NaN)
  if (spanMs >= 0 && spanMs < SHORTEST_MS) return undefined
  const measured = new Map<SandboxId, Account>()
  for (const sample of host.environments.values()) {
    measured.set(sample.id, measure(before.environments[sample.id], sample, host, spanMs))
  }
  const hostAccount = measureHost(before.host, host, spanMs, [...measured.values()])
  return {
    host: hostAccount,
    environments: settle(measured, hostAccount, sense, rankOf, Math.min(LONGEST_MS, spanMs > 0 ? spanMs : 0)),
  }
}

function measure(
  before: Account | undefined,
  { cpu, pressure, isFrozen }: EnvironmentSample,
  { atMs, cores }: HostSample,
  spanMs: number,
): Account {
  const now = {
    usageUs: cpu.usageUs,
    sessionUs: cpu.sessionUs,
    throttledUs: cpu.throttledUs ?? 0,
    waitedUs: pressure?.cpu?.someUs ?? 0,
    blind: pressure?.cpu === undefined,
  }
  const known = before ?? { ...now, ...NEW }
  const wentBack = now.usageUs < known.usageUs || now.sessionUs < known.sessionUs
  if (before === undefined || wentBack || !(spanMs > 0)) return { ...known, ...now, hungry: false }
  const rate = (from: number, to: number) => Math.min(cores * 1.5, Math.max(0, to - from) / 1000 / spanMs)
  const part = 1 - Math.exp(-spanMs / AVERAGE_MS)
  const average = (old: number, latest: number) => old + (latest - old) * part
  const sessionNow = rate(known.sessionUs, now.sessionUs)
  const waited = Math.max(0, now.waitedUs - known.waitedUs) / 1000 / spanMs
  return {
    ...known,
    ...now,
    cores: average(known.cores, rate(known.usageUs, now.usageUs)),
    sessionCores: average(known.sessionCores, sessionNow),
    hungry:
      !isFrozen &&
      (now.throttledUs > known.throttledUs ||
        // Where the kernel does not say who waits, whoever spends is taken to want more.
        (now.blind ? !known.saves : waited > WAITING)),
    ...(sessionNow > SESSION_AWAKE ? { awakeMs: atMs } : {}),
    // From before a clock that went back.
    ...(known.awakeMs !== undefined && known.awakeMs > atMs ? { awakeMs: atMs } : {}),
  }
}

const NEW = {
  ...{ cores: 0, sessionCores: 0, counted: 0, share: 0, credit: FIRST_CREDIT, spent: false },
  ...{ saves: true, littleMs: 0, hungry: false },
} as const

function measureHost(
  before: HostAccount | undefined,
  { atMs, busyUs, cores }: HostSample,
  spanMs: number,
  accounts: readonly Account[],
): HostAccount {
  const fresh = {
    atMs,
    busyUs,
    contended: before?.contended ?? false,
    idle: 0,
    calmMs: atMs,
    capacity: cores,
  }
  if (before === undefined || !(spanMs > 0) || busyUs < before.busyUs) return fresh
  const busy = (busyUs - before.busyUs) / 1000 / spanMs
  const idle = Math.max(0, 1 - busy / cores)
  const calmMs = idle > CALM_IDLE ? Math.min(before.calmMs, atMs) : atMs
  const contended = idle < CONTENDED_IDLE || (before.contended && atMs - calmMs < CALM_MS)
  // What the host itself and its services use is not the environments' to divide; some of it always is.
  const used = accounts.reduce((sum, each) => sum + each.cores, 0)
  const others = Math.min(cores * 0.75, Math.max(0, busy - used))
  const part = 1 - Math.exp(-spanMs / AVERAGE_MS)
  const capacity = before.capacity + (cores - others - before.capacity) * part
  return { atMs, busyUs, contended, idle, calmMs, capacity }
}

/** Shares, and what follows from them for everybody's credit. */
function settle(
  measured: ReadonlyMap<SandboxId, Account>,
  { contended, capacity }: HostAccount,
  sense: Sense,
  rankOf: (id: SandboxId) => number,
  spanMs: number,
): Record<SandboxId, Account> {
  const entries = [...measured].map(([id, measuredAccount]) => {
    const terms = termsOf(sense, id)
    // Who was found to take too much has none until it is calm: held down, anybody takes less.
    const free = isTyping(terms, sense.host.atMs) && rankOf(id) > 0 ? allowance(sense.host, terms) : 0
    const counted = measuredAccount.cores - Math.min(measuredAccount.sessionCores, free)
    return { id, account: { ...measuredAccount, counted }, ...terms }
  })
  const claims = entries.map(({ account, cpuWeight, cores: ceiling = Number.POSITIVE_INFINITY }) => ({
    weight: cpuWeight,
    wants: Math.min(
      ceiling,
      contended && account.hungry ? Number.POSITIVE_INFINITY : account.cores * 1.1 + 0.01,
    ),
  }))
  const { given, level, hungryWeight } = divide(capacity, claims)
  const left = capacity - given.reduce((sum, each) => sum + each, 0)
  const shareOf = (at: number): number => {
    const { weight, wants } = claims[at] as (typeof claims)[number]
    const own = given[at] as number
    const most = Math.min(capacity, entries[at]?.cores ?? capacity)
    if (own < wants) return Math.min(most, own)
    // It has what it wants: so much would be its own if it joined those who want more.
    const pool = (level === Number.POSITIVE_INFINITY ? left : level * hungryWeight) + own
    return Math.min(most, Math.max(own, (pool * weight) / (hungryWeight + weight)))
  }
  const shares = entries.map((_, at) => shareOf(at))
  const excess = new Map<number, number>()
  for (const [at, { id, account }] of entries.entries()) {
    const more = Math.max(0, account.cores - (shares[at] ?? 0))
    excess.set(rankOf(id), (excess.get(rankOf(id)) ?? 0) + more)
  }
  // Where nobody says who waits: those who come first have about as much too much as it has too little.
  const isStarved = (id: SandboxId, { counted, blind, hungry }: Account, share: number) => {
    if (!blind) return hungry
    const before = [...excess].reduce((sum, [rank, each]) => sum + (rank > rankOf(id) ? each : 0), 0)
    return contended && before > (share - counted) / 2
  }
  return Object.fromEntries(
    entries.map(({ id, account, cpuWeight }, at) => {
      const share = shares[at] as number
      const isLittle = account.counted < share * SAVES_BELOW && !isStarved(id, account, share)
      const littleMs = isLittle ? account.littleMs + spanMs : 0
      const saves = account.saves ? account.counted < share * SPENDS_ABOVE : littleMs >= SAVES_AFTER_MS
      const change = saves
        ? Math.min(share - account.counted, 1)
        : contended && (account.hungry || account.counted > share)
          ? -(account.counted + (LEAK * cpuWeight) / 100)
          : 0
      const most = (CREDIT * cpuWeight) / 100
      const credit = Math.max(0, Math.min(most, account.credit + (change * spanMs) / 1000))
      const spent = credit <= 0 || (account.spent && credit < (SPENT_UNTIL * cpuWeight) / 100)
      return [id, { ...account, share, saves, littleMs, credit, spent }]
    }),
  )
}
