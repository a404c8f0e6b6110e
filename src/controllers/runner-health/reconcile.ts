import { type Condition, findCondition, setCondition } from '../../api/conditions.ts'
import { keyOf, type Resource } from '../../api/resource.ts'
import type { LeaseStore } from '../../core/credentials.ts'
import { type EventRecorder, SILENT, withHint } from '../../core/events.ts'
import { again, type Reconciler, settled } from '../../core/reconcile.ts'
import { writeMain, writeStatus } from '../../core/write.ts'
import { type Clock, type Millis, timestamp } from '../../lib/clock.ts'
import { judgeRunner, nextLookMs, planReachability } from './plan.ts'

const RUNNER_FINALIZER = 'bothy.dev/runner'
// One query serves all runners that are looked at within it.
const LEASES_AGE_MS: Millis = 500

/** Writes condition Ready of Runner objects when the verdict changes. Leases are held by the uid of a runner. */
export function runnerHealth({
  leases,
  clock,
  events = SILENT,
}: {
  leases: LeaseStore
  clock: Clock
  events?: EventRecorder
}): Reconciler<'Runner'> {
  const sinceMs = clock.now()
  const read = cached(() => leases.list(), clock)
  return {
    name: 'runner-health',
    kind: 'Runner',
    async reconcile(_key, runner, { store }) {
      if (runner === undefined) return settled('it is gone')
      const leaseMs = (await read()).get(runner.metadata.uid)
      const nowMs = clock.now()
      const written = await writeStatus(store, runner, latest => {
        const verdict = judgeRunner(latest, leaseMs, nowMs, sinceMs)
        const { status } = latest
        return (
          verdict && { ...status, conditions: setCondition(status.conditions, verdict, timestamp(nowMs)) }
        )
      })
      const ready = findCondition(written.status.conditions, 'Ready')
      tell(events, runner, findCondition(runner.status.conditions, 'Ready'), ready)
      return again(
        nextLookMs(leaseMs, nowMs),
        `Ready is ${ready?.status ?? 'not known'}: ${ready?.message ?? ''}`,
      )
    },
  }
}

/** Writes condition RunnerReachable of environments, and lets go of those whose Runner object was deleted. */
export function runnerReachability({
  events = SILENT,
}: {
  events?: EventRecorder
} = {}): Reconciler<'Environment'> {
  return {
    name: 'runner-reachability',
    kind: 'Environment',
    also: [{ kind: 'Runner', concerns: boundTo }],
    async reconcile(key, environment, { store, clock, known, log }) {
      if (environment === undefined) return settled('it is gone')
      const name = environment.spec.runner
      const inCopy = known('Runner').find(
        each => each.metadata.name === name && each.metadata.namespace === key.namespace,
      )
      // That it was deleted is asked of the store: too much follows from it.
      const missing = inCopy === undefined && name !== undefined
      const runner = missing ? await store.find({ kind: 'Runner', namespace: key.namespace, name }) : inCopy
      const step = planReachability(environment, runner)
      switch (step.kind) {
        case 'nothing':
          return settled(step.why)
        case 'say': {
          const written = await writeStatus(store, environment, ({ status }) => ({
            ...status,
            conditions: setCondition(status.conditions, step.condition, timestamp(clock.now())),
          }))
          const of = (each: typeof written) => findCondition(each.status.conditions, 'RunnerReachable')
          tell(events, environment, of(environment), of(written))
          const next = planReachability(written, runner)
          return next.kind === 'release' ? again(0, step.condition.message) : settled(step.condition.message)
        }
        case 'release':
          log.warn({ runner: name }, 'released from a runner that was deleted')
          await writeMain(store, environment, latest => withoutFinalizer(latest))
          return settled('its runner was deleted')
      }
    },
  }
}

/** What each reason of a verdict is called when it is news. That a runner was never seen is none. */
const NEWS: Readonly<Record<string, string>> = {
  Heartbeat: 'RunnerReachable',
  Unreachable: 'RunnerNotReachable',
  RunnerUnreachable: 'RunnerNotReachable',
  RunnerDeleted: 'RunnerDeleted',
  DriverNotReady: 'RunnerNotReady',
}

function tell(
  events: EventRecorder,
  regarding: Resource,
  before: Condition | undefined,
  after: Condition | undefined,
): void {
  const reason = after && NEWS[after.reason]
  if (reason === undefined || (before?.reason === after?.reason && before?.message === after?.message)) return
  const type = after?.status === 'True' ? 'Normal' : 'Warning'
  events.record({ regarding, type, reason, note: withHint(after as Condition), action: 'Watching' })
}

function withoutFinalizer(environment: Resource<'Environment'>): Resource<'Environment'> {
  const finalizers = (environment.metadata.finalizers ?? []).filter(each => each !== RUNNER_FINALIZER)
  return { ...environment, metadata: { ...environment.metadata, finalizers } }
}

function boundTo(changed: Resource, known: readonly Resource<'Environment'>[]) {
  const { name, namespace } = changed.metadata
  return known.filter(each => each.spec.runner === name && each.metadata.namespace === namespace).map(keyOf)
}

function cached<T>(read: () => Promise<T>, clock: Clock): () => Promise<T> {
  let latest: { readonly atMs: Millis; readonly value: Promise<T> } | undefined
  return () => {
    if (latest === undefined || clock.now() - latest.atMs > LEASES_AGE_MS) {
      const value = read()
      latest = { atMs: clock.now(), value }
      // A failure is for whoever asked, and not kept.
      value.catch(() => {
        latest = undefined
      })
    }
    return latest.value
  }
}
