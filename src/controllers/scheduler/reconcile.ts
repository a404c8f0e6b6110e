import { findCondition, setCondition } from '../../api/conditions.ts'
import { RUNNER_FINALIZER, sourceKey } from '../../api/ownership.ts'
import { keyOf, type Resource } from '../../api/resource.ts'
import { type EventRecorder, SILENT, withHint } from '../../core/events.ts'
import { again, type Outcome, type ReconcileContext, type Reconciler, settled } from '../../core/reconcile.ts'
import { writeStatus } from '../../core/write.ts'
import { type Millis, timestamp } from '../../lib/clock.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { claimsByRunner } from './claims.ts'
import { type Placement, plan, type Surroundings } from './plan.ts'

// What a copy waits for is looked at again so often; most sources are made already.
const SOURCE_MS: Millis = 1_000
// Room comes when an environment of somebody else's stops or goes, which is no change of a runner or a class.
const FULL_MS: Millis = 5_000
const NOBODY: Surroundings = { classes: [], runners: [], promised: new Map() }

/**
 * Binds environments to runners: one write, which also puts the runner's finalizer on, so that from then on a deletion
 * waits for the runner to clean up. Where nothing fits, condition Scheduled says why, and it is tried again when a
 * class or a runner changes.
 */
export function scheduler({ events = SILENT }: { events?: EventRecorder } = {}): Reconciler<'Environment'> {
  // By uid: bound a moment ago, which the copies may not show yet. Without it, many at once would all find the same room.
  const assumed = new Map<string, string>()
  return {
    name: 'scheduler',
    kind: 'Environment',
    also: [
      { kind: 'EnvironmentClass', concerns: unboundOf },
      { kind: 'Runner', concerns: unboundOf },
    ],
    async reconcile(_key, environment, context) {
      if (environment === undefined) return settled('it is gone')
      if (environment.spec.runner !== undefined) assumed.delete(environment.metadata.uid)
      // Most are bound already. To count what every runner has would cost each of their changes a look at all of them.
      const idle = plan(environment, NOBODY)
      if (idle.kind === 'nothing') return settled(idle.why)
      const key = sourceKey(environment)
      const source = key && (await context.store.find(key))
      let placement = plan(environment, { ...surroundings(environment, context, assumed), source })
      // The copies may be late: before a refusal is written down, it is checked against the store.
      if (placement.kind === 'wait')
        placement = plan(environment, {
          ...(await freshSurroundings(environment, context, assumed)),
          source,
        })
      const { uid } = environment.metadata
      if (placement.kind !== 'bind') return act(environment, placement, context, events)
      assumed.set(uid, placement.runner)
      try {
        return await act(environment, placement, context, events)
      } catch (error) {
        assumed.delete(uid)
        throw error
      }
    },
  }
}

async function act(
  environment: Resource<'Environment'>,
  placement: Placement,
  { store, clock }: ReconcileContext,
  events: EventRecorder,
): Promise<Outcome> {
  switch (placement.kind) {
    case 'nothing':
      return settled(placement.why)
    case 'bind': {
      const { metadata, spec } = environment
      const finalizers = [...new Set([...(metadata.finalizers ?? []), RUNNER_FINALIZER])]
      failpoint('scheduler.binding')
      const atMs = clock.now()
      await store.update(
        {
          ...environment,
          metadata: { ...metadata, finalizers },
          spec: { ...spec, runner: placement.runner },
        },
        'main',
      )
      const note = `bound to runner '${placement.runner}'`
      events.record({
        regarding: environment,
        type: 'Normal',
        reason: 'Scheduled',
        note,
        action: 'Binding',
        atMs,
      })
      return settled(`bound to runner ${placement.runner}`)
    }
    case 'wait': {
      const { kind: _, ...why } = placement
      const scheduled = { type: 'Scheduled', status: 'False', ...why } as const
      await writeStatus(store, environment, ({ spec, status }) =>
        spec.runner === undefined
          ? { ...status, conditions: setCondition(status.conditions, scheduled, timestamp(clock.now())) }
          : undefined,
      )
      const before = findCondition(environment.status.conditions, 'Scheduled')
      // Told when there is something to tell: every change of a runner or a class leads here.
      if (before?.message !== placement.message) {
        const note = `${placement.reason}: ${withHint(placement)}`
        const reason = 'FailedScheduling'
        events.record({ regarding: environment, type: 'Warning', reason, note, action: 'Binding' })
      }
      if (placement.reason.startsWith('Source')) return again(SOURCE_MS, placement.message)
      return placement.reason === 'RunnerFull'
        ? again(FULL_MS, placement.message)
        : settled(placement.message)
    }
  }
}

type Assumed = ReadonlyMap<string, string>

function surroundings(
  environment: Resource<'Environment'>,
  { known }: ReconcileContext,
  assumed: Assumed,
): Surroundings {
  const { namespace } = environment.metadata
  const here = <R extends Resource>(objects: readonly R[]) =>
    objects.filter(each => each.metadata.namespace === namespace)
  const classes = here(known('EnvironmentClass'))
  const promised = claimsByRunner(here(known('Environment')), classes, assumed)
  return { classes, runners: here(known('Runner')), promised }
}

async function freshSurroundings(
  environment: Resource<'Environment'>,
  context: ReconcileContext,
  assumed: Assumed,
): Promise<Surroundings> {
  const scope = { namespace: environment.metadata.namespace ?? '' }
  const [classes, runners] = await Promise.all([
    context.store.list('EnvironmentClass', scope),
    context.store.list('Runner', scope),
  ])
  const environments = context
    .known('Environment')
    .filter(each => each.metadata.namespace === scope.namespace)
  const promised = claimsByRunner(environments, classes.items, assumed)
  return { classes: classes.items, runners: runners.items, promised }
}

function unboundOf(changed: Resource, known: readonly Resource<'Environment'>[]) {
  return known
    .filter(each => each.spec.runner === undefined && each.metadata.namespace === changed.metadata.namespace)
    .map(keyOf)
}
