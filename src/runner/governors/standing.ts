// What holds on the host because a governor decided it, so that only differences are acted upon.
import { jsonEqual } from '../../api/json-equal.ts'
import type { SandboxId } from '../../core/driver.ts'
import type { Act, Decision } from '../../core/governor/act.ts'
import type { HostSample } from '../../core/governor/sample.ts'
import type { Millis } from '../../lib/clock.ts'

// What somebody else undid (an operator who wrote to a file) holds again after a minute or two. For a hundred environments
// a tenth of that was a percent of a core; and not all of them at the same moment.
const AGAIN_MS: Millis = 60_000

interface Held {
  readonly act: Act
  readonly atMs: Millis
  readonly untilMs: Millis
  readonly usageUs: number
}

/** Names what an act is about: of two with the same key, the later replaces the earlier. */
export function keyOf(act: Act): string {
  switch (act.kind) {
    case 'move':
      return `${act.id}/move/${act.group}/${act.startedTicks}`
    case 'kill':
      return `${act.id}/kill/${act.pid}/${act.startedTicks}`
    case 'freeze':
      return `${act.id}/freeze/${act.reason}`
    default:
      return `${act.id}/${act.kind}`
  }
}

/** True of acts that make something hold, false of those that happen once each time they are decided. */
export function isStanding({ kind }: Act): boolean {
  return kind !== 'move' && kind !== 'kill' && kind !== 'reclaim'
}

export class Standing {
  readonly #held = new Map<string, Held>()

  /** What is to be done of what was decided, in that order; of several with one key the last. */
  due(decisions: readonly Decision[], host: HostSample): Decision[] {
    this.#forget(host)
    const byKey = new Map<string, Decision>()
    for (const decision of decisions) byKey.set(keyOf(decision.act), decision)
    return [...byKey].filter(([key, { act }]) => !this.#holds(key, act, host)).map(([, decision]) => decision)
  }

  /** It was done while `host` was how things stood. */
  done(act: Act, host: HostSample): void {
    if (!isStanding(act)) return
    const usageUs = host.environments.get(act.id)?.cpu.usageUs ?? 0
    const untilMs = host.atMs + AGAIN_MS * (1 + Math.random())
    this.#held.set(keyOf(act), { act, atMs: host.atMs, untilMs, usageUs })
  }

  /** It failed: nobody knows what holds now. */
  failed(act: Act): void {
    this.#held.delete(keyOf(act))
  }

  #holds(key: string, act: Act, host: HostSample): boolean {
    const held = this.#held.get(key)
    return held !== undefined && host.atMs < held.untilMs && jsonEqual(held.act, act)
  }

  /** A sandbox that was started again (its counters are smaller than they were) has groups that nobody has touched. */
  #forget(host: HostSample): void {
    const isOld = (id: SandboxId, usageUs: number) => {
      const sample = host.environments.get(id)
      return sample === undefined || sample.cpu.usageUs < usageUs
    }
    for (const [key, { act, atMs, usageUs }] of this.#held)
      if (isOld(act.id, usageUs) || atMs > host.atMs) this.#held.delete(key)
  }
}
