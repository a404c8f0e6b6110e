// Suspends who is idle: frozen first, then its memory is pushed out, so that it takes about what its compressed pages
// take. Whoever knocks lets it go before anything else happens, without asking a governor: this one only takes notice.
//
//   awake ──(idle for the class's suspendAfter)──▶ suspended ──(knocked, or let go by somebody)──▶ awake
import type { Millis } from '../../lib/clock.ts'
import type { SandboxId } from '../driver.ts'
import type { Decision } from './act.ts'
import type { EnvironmentTerms, Governor, Sense } from './governor.ts'
import { isAwaited, type Quiet, unattendedMs, watchQuiet } from './idle.ts'
import type { EnvironmentSample } from './sample.ts'

interface Suspended {
  readonly sinceMs: Millis
  /** Its memory has been asked for. */
  readonly reclaims: boolean
}

interface Known {
  readonly quiet: Quiet
  readonly suspended?: Suspended
}

export interface SuspendState {
  readonly environments: Readonly<Record<SandboxId, Known>>
}

const NAME = 'suspend'
/** A freeze that was asked for so long ago and is not seen was undone: somebody came in. */
const SEEN_MS: Millis = 2_000

export const suspend: Governor<SuspendState> = {
  name: NAME,
  initial: { environments: {} },
  decide(state, sense) {
    const environments: Record<SandboxId, Known> = {}
    const decisions: Decision[] = []
    for (const [id, sample] of sense.host.environments) {
      const terms = sense.terms.get(id)
      if (terms === undefined || sense.abilities?.freeze === false) continue
      environments[id] = follow(state.environments[id], sample, terms, sense, decisions)
    }
    return { state: { environments }, decisions }
  },
}

function follow(
  before: Known | undefined,
  sample: EnvironmentSample,
  terms: EnvironmentTerms,
  { host: { atMs }, abilities }: Sense,
  decisions: Decision[],
): Known {
  const { id } = sample
  const suspended = before?.suspended
  const freeze = (frozen: boolean, why: string) =>
    decisions.push({ governor: NAME, act: { kind: 'freeze', id, frozen, reason: 'idle' }, why })

  const woken = suspended && whyWoken(suspended, sample, terms, atMs)
  if (woken !== undefined) {
    freeze(false, woken)
    return { quiet: watchQuiet(undefined, sample, atMs) }
  }
  const quiet = watchQuiet(before?.quiet, sample, atMs)
  if (suspended === undefined) {
    const forMs = unattendedMs(quiet, terms, atMs)
    if (terms.suspendAfterMs === undefined || forMs < terms.suspendAfterMs) return { quiet }
    freeze(true, `idle for ${spell(forMs)}`)
    return { quiet, suspended: { sinceMs: atMs, reclaims: false } }
  }
  freeze(true, `idle for ${spell(unattendedMs(quiet, terms, atMs))}`)
  // Pushed out once nothing in it can want it back.
  if (suspended.reclaims || !sample.isFrozen || abilities?.reclaim === false) return { quiet, suspended }
  const bytes = sample.memory.bytes
  const why = 'suspended: what it does not use makes room for others'
  decisions.push({ governor: NAME, act: { kind: 'reclaim', id, bytes }, why })
  return { quiet, suspended: { ...suspended, reclaims: true } }
}

function whyWoken(
  { sinceMs }: Suspended,
  sample: EnvironmentSample,
  terms: EnvironmentTerms,
  atMs: Millis,
): string | undefined {
  const { heardMs, suspendAfterMs } = terms
  if (isAwaited(terms) || (heardMs !== undefined && heardMs >= sinceMs)) return 'somebody came'
  if (suspendAfterMs === undefined) return 'its class is never suspended'
  if (atMs < sinceMs) return 'the clock was set'
  return !sample.isFrozen && atMs - sinceMs >= SEEN_MS ? 'it was let go' : undefined
}

function spell(ms: Millis): string {
  const minutes = Math.floor(ms / 60_000)
  return minutes === 0
    ? `${Math.floor(ms / 1000)} s`
    : minutes < 120
      ? `${minutes} min`
      : `${Math.floor(minutes / 60)} h`
}
