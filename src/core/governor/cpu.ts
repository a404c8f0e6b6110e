// Who gets the processors when there are not enough of them. Idle ones go to whoever asks; for the rest, four times a
// second, each environment is put into a class:
//
//   quiet    uses less than its share, and comes first when it wants something
//   burst    was quiet and now uses more: its credit gives it several processors at once, for some seconds
//   metered  its credit is spent and somebody works in it: its session comes first all the same, so its `work` gets a
//            quota, with which it cannot use that
//   hog      the rest
//
// What holds whatever happens:
//   C1. Weights of one class add up to the same however many are in it; only the quiet, and those in which somebody types
//       this moment, have the same each. So what a quiet environment waits for does not grow with the number of hogs.
//   C2. Nobody is held while processors are idle, except by the ceiling of its class.
//   C3. Over time nobody gets more than its share by being attended: who takes more in spite of the meter is a hog.
//   C4. Steady input gives steady output: what is left is left at another threshold than it is entered.
import type { SandboxId } from '../driver.ts'
import type { CpuLimits, Decision } from './act.ts'
import {
  type Account,
  type Accounts,
  advance,
  isAttended,
  isTyping,
  NO_ACCOUNTS,
  termsOf,
} from './cpu-account.ts'
import type { Governor, Sense } from './governor.ts'

export type CpuClass = 'quiet' | 'burst' | 'metered' | 'hog'

/** In the kernel's units, 1 to 10000. Of the first each, of the others all of a class together; see C1. */
const FIRST = 10_000
const SUMS = { metered: 2_400, burst: 2_400, hog: 400 } as const
/** Finer weights than these mean nothing to the kernel. */
const LEAST_WEIGHT = 1
/** Within an environment what people look at preempts the rest. */
const SESSION_WEIGHT = 10_000
const WORK_WEIGHT = 100
/** An attended environment stays quiet while it uses about its share; C4 */
const AT_SHARE = { enters: 0.9, leaves: 1.1 } as const
/** Who takes so much more than its share for so long, in spite of the meter, is a hog until it takes less than a part. C3 */
const DODGES = { above: 1.3, orCores: 0.05, forMs: 2_000, until: 0.6 } as const
/** A quota is changed only when it is wrong by more than this part, and by more than a hundredth of a core. C4 */
const QUOTA_BAND = 0.15
const QUOTA_STEP = 0.01
/** More of the host than this is idle: quotas give it away. Less than the other: they go back to the share. C2, C4 */
const SLACK = { gives: 0.05, takes: 0.02 } as const
/** The kernel's least is 1 ms in 100 ms. */
const LEAST_QUOTA = 0.02

interface Standing {
  readonly class: CpuClass
  /** It comes first, whatever its class. */
  readonly first: boolean
  readonly workCores?: number
  /** Of time above its share in spite of the meter. */
  readonly dodgedMs: number
  readonly dodges: boolean
}

export interface CpuState {
  readonly accounts: Accounts
  readonly standings: Readonly<Record<SandboxId, Standing>>
}

const NOBODY: Standing = { class: 'quiet', first: true, dodgedMs: 0, dodges: false }

export const cpu: Governor<CpuState> = {
  name: 'cpu',
  initial: { accounts: NO_ACCOUNTS, standings: {} },
  decide(state, sense) {
    const accounts = advance(state.accounts, sense, id => rankOf(state.standings[id] ?? NOBODY))
    if (accounts?.host === undefined) return { state, decisions: [] }
    const { contended, atMs, idle } = accounts.host
    const spanMs = Math.max(0, atMs - (state.accounts.host?.atMs ?? atMs))
    const metered = Object.values(state.standings).filter(each => each.workCores !== undefined).length
    const spareCores = (0.8 * idle * sense.host.cores) / Math.max(1, metered)
    const spenders = Object.values(accounts.environments).filter(each => !each.saves).length
    const standings = Object.fromEntries(
      Object.entries(accounts.environments).map(([id, account]) => {
        const before = state.standings[id] ?? NOBODY
        const terms = termsOf(sense, id)
        const attended = isAttended(account, terms, atMs)
        const next = classify(before, account, { attended, contended, spanMs })
        // A meter keeps others' processors free; alone there is nobody to keep them for.
        const workCores =
          next.class === 'metered' && contended && spenders > 1
            ? quota(before, account, idle, spareCores)
            : undefined
        const first = next.class === 'quiet' || (next.class !== 'hog' && isTyping(terms, atMs))
        return [id, { ...next, first, ...(workCores === undefined ? {} : { workCores }) }]
      }),
    )
    return { state: { accounts, standings }, decisions: decisionsOf(accounts, standings, sense) }
  },
}

const rankOf = ({ class: own, first }: Standing): number => (first ? 2 : own === 'hog' ? 0 : 1)

function classify(
  before: Standing,
  { cores, sessionCores, counted, share, saves, spent, hungry }: Account,
  { attended, contended, spanMs }: { attended: boolean; contended: boolean; spanMs: number },
): Omit<Standing, 'first' | 'workCores'> {
  const quietBelow = share * (before.class === 'quiet' ? AT_SHARE.leaves : AT_SHARE.enters)
  const isAbove = before.class === 'metered' && contended && counted > share * DODGES.above + DODGES.orCores
  const dodgedMs = isAbove ? before.dodgedMs + spanMs : 0
  const dodges = before.dodges ? hungry || cores > share * DODGES.until : dodgedMs > DODGES.forMs
  const kept = { dodgedMs, dodges }
  if (saves) return { class: 'quiet', ...kept }
  // A session that computes now and then is no burst; what waits, or works aside, is. C1
  const isSession = attended && !hungry && counted <= quietBelow && cores - sessionCores <= share / 2
  if (!spent) return { class: isSession ? 'quiet' : 'burst', ...kept }
  return { class: attended && !dodges ? 'metered' : 'hog', ...kept }
}

/**
 * What is left to `work` of the environment's share, beside what its session takes. Others may want less than theirs: what
 * is idle is the meter's doing, and goes to whoever is metered.
 */
function quota(
  { workCores }: Standing,
  { share, cores, sessionCores, counted }: Account,
  idle: number,
  spareCores: number,
): number {
  const wanted = Math.max(LEAST_QUOTA, share - (counted - cores + sessionCores))
  if (workCores === undefined) return rounded(wanted)
  if (idle > SLACK.gives) return rounded(Math.max(wanted, workCores + spareCores))
  if (Math.abs(wanted - workCores) <= Math.max(QUOTA_STEP, workCores * QUOTA_BAND)) return workCores
  if (workCores < wanted) return rounded(wanted)
  return idle > SLACK.takes ? workCores : rounded((wanted + workCores) / 2)
}

const rounded = (cores: number): number => Math.round(cores * 1000) / 1000

function decisionsOf(
  { host, environments }: Accounts,
  standings: Readonly<Record<SandboxId, Standing>>,
  sense: Sense,
): Decision[] {
  const sums: Record<CpuClass, number> = { quiet: 0, burst: 0, metered: 0, hog: 0 }
  for (const [id, { class: own, first }] of Object.entries(standings))
    if (!first) sums[own] += termsOf(sense, id).cpuWeight
  return Object.entries(standings).map(([id, standing]) => {
    const { cpuWeight, cores } = termsOf(sense, id)
    const limits: CpuLimits = {
      weight: standing.first ? FIRST : weightOf(standing.class, cpuWeight, sums[standing.class]),
      sessionWeight: SESSION_WEIGHT,
      workWeight: WORK_WEIGHT,
      ...(standing.workCores === undefined ? {} : { workCores: standing.workCores }),
      ...(cores === undefined ? {} : { cores }),
    }
    const why = say(standing, environments[id] as Account, host?.contended === true)
    return { governor: 'cpu', act: { kind: 'cpu', id, limits }, why }
  })
}

function weightOf(cpuClass: CpuClass, own: number, sum: number): number {
  if (cpuClass === 'quiet') return FIRST
  return Math.max(LEAST_WEIGHT, Math.min(FIRST, Math.round((SUMS[cpuClass] * own) / sum)))
}

function say({ class: cpuClass, workCores }: Standing, account: Account, contended: boolean): string {
  const { cores, share, credit } = account
  const uses = `uses ${cores.toFixed(2)} cores, its share is ${share.toFixed(2)}`
  switch (cpuClass) {
    case 'quiet':
      return `quiet, so it comes first: ${uses}`
    case 'burst':
      return `was quiet, so it gets what it asks for: ${uses}, ${credit.toFixed(1)} core-seconds of credit`
    case 'metered':
      return workCores === undefined
        ? `attended, its credit is spent: ${uses}${contended ? '' : '; there is enough'}`
        : `attended, its credit is spent: its work is held at ${workCores.toFixed(2)} cores, so that its session comes first; ${uses}`
    case 'hog':
      return `its credit is spent: it shares what is left with its like; ${uses}`
  }
}
