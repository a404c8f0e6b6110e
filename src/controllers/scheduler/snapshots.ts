import { findCondition, setCondition } from '../../api/conditions.ts'
import { RUNNER_FINALIZER, sourceKey } from '../../api/ownership.ts'
import type { Resource } from '../../api/resource.ts'
import { type EventRecorder, SILENT, withHint } from '../../core/events.ts'
import { again, type Reconciler, settled } from '../../core/reconcile.ts'
import { writeStatus } from '../../core/write.ts'
import { type Millis, timestamp } from '../../lib/clock.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { type Placement, placeOfSource } from './plan.ts'

const SOURCE_MS: Millis = 1_000

/** A snapshot is taken, and kept, where the disk is. */
export function planSnapshot(
  snapshot: Resource<'Snapshot'>,
  source: Resource<'Environment' | 'Snapshot'> | undefined,
): Placement {
  const { metadata, spec } = snapshot
  if (metadata.deletionTimestamp !== undefined) return { kind: 'nothing', why: 'it is being deleted' }
  if (spec.runner !== undefined) return { kind: 'nothing', why: `it is bound to runner ${spec.runner}` }
  const place = placeOfSource({ kind: 'Environment', name: spec.environment }, source, snapshot)
  return 'reason' in place ? { kind: 'wait', ...place } : { kind: 'bind', runner: place.runner }
}

/** Binds snapshots to the runners of their environments; see `scheduler`. */
export function snapshotScheduler({
  events = SILENT,
}: {
  events?: EventRecorder
} = {}): Reconciler<'Snapshot'> {
  return {
    name: 'snapshot-scheduler',
    kind: 'Snapshot',
    async reconcile(_key, snapshot, { store, clock }) {
      if (snapshot === undefined) return settled('it is gone')
      const idle = planSnapshot(snapshot, undefined)
      if (idle.kind === 'nothing') return settled(idle.why)
      const key = sourceKey(snapshot)
      const placement = planSnapshot(snapshot, key && (await store.find(key)))
      if (placement.kind === 'nothing') return settled(placement.why)
      if (placement.kind === 'bind') {
        const { metadata, spec } = snapshot
        const { runner } = placement
        const finalizers = [...new Set([...(metadata.finalizers ?? []), RUNNER_FINALIZER])]
        failpoint('scheduler.binding')
        await store.update(
          { ...snapshot, metadata: { ...metadata, finalizers }, spec: { ...spec, runner } },
          'main',
        )
        return settled(`bound to runner ${runner}`)
      }
      const { kind: _, ...why } = placement
      const scheduled = { type: 'Scheduled', status: 'False', ...why } as const
      const written = await writeStatus(store, snapshot, ({ spec, status }) =>
        spec.runner === undefined
          ? { ...status, conditions: setCondition(status.conditions, scheduled, timestamp(clock.now())) }
          : undefined,
      )
      if (findCondition(snapshot.status.conditions, 'Scheduled')?.message !== why.message) {
        const note = `${why.reason}: ${withHint(why)}`
        events.record({
          regarding: written,
          type: 'Warning',
          reason: 'FailedScheduling',
          note,
          action: 'Binding',
        })
      }
      return again(SOURCE_MS, why.message)
    },
  }
}
