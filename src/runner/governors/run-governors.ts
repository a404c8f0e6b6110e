// The loop of the governors: sense, let all of them decide, act upon what differs from what holds. It never waits for an
// act, and nothing that fails in it stops it: what could not be done is decided again a moment later.
import { isDeepStrictEqual } from 'node:util'
import type { Driver, SandboxId } from '../../core/driver.ts'
import type { Act, Decision } from '../../core/governor/act.ts'
import type { EnvironmentTerms, Governor, Sense } from '../../core/governor/governor.ts'
import type { HostResources } from '../../core/governor/host-resources.ts'
import { decideRound, isCalm, looksOf, type States } from '../../core/governor/round.ts'
import type { HostSample } from '../../core/governor/sample.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { isFault, toFault } from '../../lib/fault.ts'
import type { Log } from '../../lib/log.ts'
import { createLooker } from './looks.ts'
import type { Recorder } from './recorder.ts'
import { keyOf, Standing } from './standing.ts'

/** A burst is given its cores, and a hog held, within two of these. */
const ROUND_MS: Millis = 250
/** While there is nothing to be held or hurried; see `isCalm`. */
const CALM_ROUND_MS: Millis = 500
/** The least pause after a round that took long, so that the runner has other things to do. */
const PAUSE_MS: Millis = 50
/** Many who are heard at once are one reason to hurry. */
const HURRY_MS: Millis = 100
/** A host that cannot be sensed is asked again after so long. */
const BLIND_MS: Millis = 2_000

export interface LastDecision extends Decision {
  /** By the wall clock. */
  readonly atMs: Millis
}

/** How things stand: for whoever shows them. */
export interface Usage {
  /** The latest sample and the one before, whose difference is what is used now. Absent: nothing was sensed yet. */
  readonly host?: HostSample
  readonly before?: HostSample
  /** Of each environment, what each governor that acted upon it did last. */
  readonly last: ReadonlyMap<SandboxId, readonly LastDecision[]>
}

export interface GovernorsOptions {
  readonly driver: Pick<Driver, 'openResources'>
  readonly governors: readonly Governor<unknown>[]
  /** What is known of the environments now. `atMs`: the clock of the samples. */
  readonly terms: (atMs: Millis) => ReadonlyMap<SandboxId, EnvironmentTerms>
  readonly clock: Clock
  readonly log: Log
  /** Called with every round, before it is acted upon. */
  readonly onRound?: (sense: Sense, decisions: readonly Decision[]) => void
  readonly recorder?: Recorder
  /** Called with each decision that was carried out. */
  readonly onActed?: (decision: Decision) => void
}

export interface Governors {
  usage(): Usage
  /** The host's resources, while they are governed. For acts that cannot wait for the next round: a thaw. */
  resources(): HostResources | undefined
  /** Somebody is heard who was not a moment ago: what is decided is decided now. */
  hurry(): void
  /** Governs until `signal` aborts, and undoes then what it has tightened; resolves at once where nothing is governed. */
  run(signal: AbortSignal): Promise<void>
}

export function createGovernors(options: GovernorsOptions): Governors {
  const { driver, governors, terms, clock, log } = options
  const standing = new Standing()
  const last = new Map<SandboxId, LastDecision[]>()
  const inHand = new Map<string, Promise<void>>()
  const told = new Map<string, string>()
  let resources: HostResources | undefined
  let states: States = {}
  let hurried = new AbortController()
  let roundMs: Millis = 0
  let before: HostSample | undefined
  let host: HostSample | undefined

  /** Once for each kind of failure, until it works again. */
  const complain = (what: string, error: unknown): void => {
    const { reason, code, message, hint } = toFault(error)
    if (told.get(what) === code) return
    told.set(what, code)
    log.warn({ what, reason, code, message, hint, ...(isFault(error) ? {} : { err: error }) }, 'not governed')
  }

  const remember = (decision: Decision): void => {
    const { id } = decision.act
    const all = last.get(id) ?? []
    const before = all.find(each => each.governor === decision.governor)
    // What is only made sure of again was done when it was done first.
    const isSame = before !== undefined && isDeepStrictEqual(before.act, decision.act)
    const atMs = isSame ? before.atMs : clock.now()
    last.set(id, [...all.filter(each => each !== before), { ...decision, atMs }])
  }

  const carryOut = (decision: Decision, seen: HostSample, signal: AbortSignal): void => {
    const { act } = decision
    const key = keyOf(act)
    // Still under way: what it is to be now is decided again in the next round.
    if (inHand.has(key) || resources === undefined) return
    const acting = resources.act(act, signal).then(
      () => {
        told.delete(describe(act))
        standing.done(act, seen)
        remember(decision)
        options.onActed?.(decision)
      },
      error => {
        standing.failed(act)
        if (!signal.aborted) complain(describe(act), error)
      },
    )
    inHand.set(
      key,
      acting.finally(() => inHand.delete(key)),
    )
  }

  const round = async (looker: ReturnType<typeof createLooker>, signal: AbortSignal): Promise<void> => {
    if (resources === undefined) return
    const sample = await resources.sense()
    ;[before, host] = [host, sample]
    for (const id of last.keys()) if (!sample.environments.has(id)) last.delete(id)
    const known = terms(sample.atMs)
    const looked = await looker.look(looksOf(governors, states, sample, known), sample)
    const sense: Sense = { host: sample, ...looked, terms: known, abilities: resources.abilities }
    const decided = decideRound(governors, states, sense)
    options.recorder?.record(states, { sense, decisions: decided.decisions })
    states = decided.states
    options.onRound?.(sense, decided.decisions)
    for (const { governor, error } of decided.failures) complain(`governor ${governor}`, error)
    for (const decision of standing.due(decided.decisions, sample)) carryOut(decision, sample, signal)
    told.delete('the host')
  }

  return {
    usage: () => ({ ...(host && { host }), ...(before && { before }), last }),
    resources: () => resources,
    hurry() {
      if (performance.now() - roundMs > HURRY_MS) hurried.abort()
    },
    async run(signal) {
      while (!signal.aborted) {
        try {
          resources = await driver.openResources()
          break
        } catch (error) {
          complain('open the resources', error)
          await clock.sleep(BLIND_MS, signal).catch(() => undefined) // Aborted: the loop sees it.
        }
      }
      if (resources === undefined) return
      const looker = createLooker(resources)
      while (!signal.aborted) {
        const sinceMs = performance.now()
        roundMs = sinceMs
        hurried = new AbortController()
        const pauseMs = await round(looker, signal).then(
          () => (host !== undefined && isCalm(before, host) ? CALM_ROUND_MS : ROUND_MS),
          error => {
            complain('the host', error)
            return BLIND_MS
          },
        )
        const restMs = Math.max(PAUSE_MS, pauseMs - (performance.now() - sinceMs))
        const either = AbortSignal.any([signal, hurried.signal])
        await clock.sleep(restMs, either).catch(() => undefined) // Aborted: the loop sees it.
      }
      await Promise.all(inHand.values())
      const ending = resources
      resources = undefined
      options.recorder?.close()
      await ending.release().catch(error => complain('release', error))
    },
  }
}

const describe = (act: Act): string => `${act.kind} of ${act.id}`
