// Whether runners can be reached. Heartbeats renew leases, which are no resources; only a change of the verdict is
// written: condition Ready of the Runner, and RunnerReachable of the environments on it.
import { type Condition, findCondition } from '../../api/conditions.ts'
import type { Resource } from '../../api/resource.ts'
import type { Millis } from '../../lib/clock.ts'

type Verdict = Omit<Condition, 'lastTransitionTime'>

/** Runners renew every 10 s: two may get lost. */
export const LEASE_MS: Millis = 30_000

/**
 * Condition Ready of a runner. `sinceMs`: since when heartbeats could have arrived; before a lease's length has passed,
 * silence says nothing (the server was down, not the runner), and the answer is undefined: leave it as it is.
 */
export function judgeRunner(
  runner: Resource<'Runner'>,
  leaseMs: Millis | undefined,
  nowMs: Millis,
  sinceMs: Millis,
): Verdict | undefined {
  const type = 'Ready'
  const name = runner.metadata.name
  if (leaseMs !== undefined && nowMs - leaseMs < LEASE_MS) {
    const driver = findCondition(runner.status.conditions, 'DriverReady')
    if (driver?.status === 'False') {
      const { message, hint } = driver
      return {
        type,
        status: 'False',
        reason: 'DriverNotReady',
        message,
        ...(hint === undefined ? {} : { hint }),
      }
    }
    return { type, status: 'True', reason: 'Heartbeat', message: 'it is heard of regularly' }
  }
  const before = findCondition(runner.status.conditions, type)
  if (leaseMs === undefined && (before === undefined || before.reason === 'NeverSeen')) {
    const hint = `enrol it: 'bothy runner enroll' with a token for runner '${name}'`
    return { type, status: 'False', reason: 'NeverSeen', message: 'it has never been heard of', hint }
  }
  if (nowMs - sinceMs < LEASE_MS) return undefined
  return {
    type,
    status: 'False',
    reason: 'Unreachable',
    message: `no heartbeat for more than ${LEASE_MS / 1000} s`,
    hint: "is its machine up and 'bothy runner run' running there? Environments on it go on meanwhile",
  }
}

/** When to look at a runner again although nothing changed. */
export function nextLookMs(leaseMs: Millis | undefined, nowMs: Millis): Millis {
  // The return of a runner is waited for by people; that it is lost is known soon enough when its lease ends.
  return leaseMs === undefined || nowMs - leaseMs >= LEASE_MS
    ? 1_000
    : Math.max(leaseMs + LEASE_MS - nowMs, 1_000)
}

export type ReachabilityStep =
  | { readonly kind: 'nothing'; readonly why: string }
  | { readonly kind: 'say'; readonly condition: Verdict }
  /** The Runner object was deleted: nobody will ever clean up there for us. */
  | { readonly kind: 'release' }

/** What an environment says of the runner that it is bound to; `runner` undefined: that object does not exist. */
export function planReachability(
  environment: Resource<'Environment'>,
  runner: Resource<'Runner'> | undefined,
): ReachabilityStep {
  const { spec, status, metadata } = environment
  if (spec.runner === undefined) return { kind: 'nothing', why: 'it is not bound yet' }
  const type = 'RunnerReachable'
  const before = findCondition(status.conditions, type)
  if (runner === undefined) {
    if (metadata.deletionTimestamp !== undefined && before?.reason === 'RunnerDeleted')
      return { kind: 'release' }
    return {
      kind: 'say',
      condition: {
        type,
        status: 'False',
        reason: 'RunnerDeleted',
        message: `runner '${spec.runner}' was deleted; what this environment left on its host is not cleaned up`,
        hint: "delete the environment; 'bothy down --all' on the old machine removes what is left there",
      },
    }
  }
  const ready = findCondition(runner.status.conditions, 'Ready')
  const lost = ready?.reason === 'Unreachable' || ready?.reason === 'NeverSeen'
  if (!lost) {
    // Said only to take back what was said before: the usual case costs no write.
    if (before === undefined || before.status === 'True')
      return { kind: 'nothing', why: 'its runner is reachable' }
    const message = `runner '${spec.runner}' is heard of again`
    return { kind: 'say', condition: { type, status: 'True', reason: 'Heartbeat', message } }
  }
  const message = `runner '${spec.runner}': ${ready.message}`
  const hint = ready.hint === undefined ? {} : { hint: ready.hint }
  return { kind: 'say', condition: { type, status: 'False', reason: 'RunnerUnreachable', message, ...hint } }
}
