// What people are told of what governors did, besides what `bothy top` shows: what ended, what is held up, and who was held
// back for long. How often one says the same is the recorder's concern.
import type { SandboxId } from '../../core/driver.ts'
import type { Decision } from '../../core/governor/act.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import type { Told } from '../environments/occurrences.ts'

/** A meter for less is part of everyday life. */
const LONG_MS: Millis = 60_000

/** To be called with every decision that was carried out; what stays as it is, is carried out again now and then. */
export function createTeller(
  tell: (id: SandboxId, told: Told) => void,
  clock: Clock,
): (decision: Decision) => void {
  const heldSince = new Map<SandboxId, Millis>()
  const told = new Set<SandboxId>()
  const frozen = new Set<string>()

  return ({ act, why }) => {
    const { id } = act
    if (act.kind === 'kill')
      tell(id, { type: 'Warning', reason: 'ProcessKilled', note: why, action: 'Killing' })
    if (act.kind === 'freeze') {
      const key = `${id}/${act.reason}`
      if (act.frozen === frozen.has(key)) return
      if (act.frozen) frozen.add(key)
      else frozen.delete(key)
      const type = act.frozen && act.reason === 'memory' ? 'Warning' : 'Normal'
      tell(id, { type, reason: act.frozen ? 'Suspended' : 'Resumed', note: why, action: 'Suspending' })
    }
    if (act.kind !== 'cpu') return
    if (act.limits.workCores === undefined) {
      heldSince.delete(id)
      told.delete(id)
      return
    }
    const sinceMs = heldSince.get(id) ?? clock.now()
    heldSince.set(id, sinceMs)
    if (told.has(id) || clock.now() - sinceMs < LONG_MS) return
    told.add(id)
    tell(id, {
      ...{ type: 'Normal', reason: 'HeldBack', action: 'Sharing' },
      note: `for a minute it has wanted more than its share of a busy host: ${why}`,
    })
  }
}
