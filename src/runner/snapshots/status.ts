// What the runner says of a snapshot: pure builders, from the latest status to the next.
import { type Condition, setCondition } from '../../api/conditions.ts'
import type { SnapshotPhase, SnapshotStatus } from '../../api/kinds/snapshot.ts'
import { formatQuantity } from '../../api/quantity.ts'
import type { Resource } from '../../api/resource.ts'
import type { DiskUsage } from '../../core/driver.ts'
import { type Millis, timestamp } from '../../lib/clock.ts'
import type { Fault } from '../../lib/fault.ts'
import { camelCase } from '../environments/status.ts'
import type { SnapshotRecord } from './record.ts'

type Snapshot = Resource<'Snapshot'>
type Verdict = Omit<Condition, 'lastTransitionTime' | 'type'>

export function creating(snapshot: Snapshot, nowMs: Millis): SnapshotStatus {
  return next(snapshot, 'Creating', nowMs, notReady('Creating', 'the disk is being copied'))
}

export function ready(
  snapshot: Snapshot,
  record: SnapshotRecord,
  disk: DiskUsage,
  nowMs: Millis,
): SnapshotStatus {
  const { environment, createdMs, copy, image } = record
  const message = 'it is kept, and environments can be made of it'
  return next(
    snapshot,
    'Ready',
    nowMs,
    { status: 'True', reason: 'Kept', message },
    {
      environment,
      createdAt: timestamp(createdMs),
      size: formatQuantity(disk.sizeBytes),
      used: inWholeMebibytes(disk.usedBytes),
      ...(copy === undefined ? {} : { pausedMs: Math.round(copy.pausedMs) }),
      ...(copy?.extents === undefined ? {} : { extents: copy.extents }),
      ...(image === undefined ? {} : { image: { reference: image.reference, digest: image.digest } }),
    },
  )
}

export function lost(snapshot: Snapshot, nowMs: Millis): SnapshotStatus {
  const hint = 'bring the disk of the runner back, or delete the snapshot'
  return next(
    snapshot,
    'Failed',
    nowMs,
    notReady('SnapshotLost', 'its disk is not on the runner any more', hint),
  )
}

/** Another attempt follows when `isFinal` is false. */
export function failed(snapshot: Snapshot, fault: Fault, isFinal: boolean, nowMs: Millis): SnapshotStatus {
  const message = isFinal ? fault.message : `${fault.message}; it is tried again`
  const verdict = { ...notReady(camelCase(fault.code), message, fault.hint), fault: fault.reason }
  return next(snapshot, isFinal ? 'Failed' : 'Creating', nowMs, verdict)
}

export function deleting(snapshot: Snapshot, nowMs: Millis): SnapshotStatus {
  return next(snapshot, 'Deleting', nowMs, notReady('Deleting', 'its disk is being removed'))
}

function next(
  { status, spec, metadata }: Snapshot,
  phase: SnapshotPhase,
  nowMs: Millis,
  verdict: Verdict,
  more: Partial<SnapshotStatus> = {},
): SnapshotStatus {
  const observedGeneration = metadata.generation
  const bound = {
    status: 'True',
    reason: 'Bound',
    message: `it is bound to runner '${spec.runner}'`,
  } as const
  const verdicts = [
    { ...bound, type: 'Scheduled' },
    { ...verdict, type: 'Ready' },
  ]
  const conditions = verdicts.reduce<readonly Condition[]>(
    (all, each) => setCondition(all, { ...each, observedGeneration }, timestamp(nowMs)),
    status.conditions,
  )
  return { ...status, ...more, phase, observedGeneration, conditions: [...conditions] }
}

function notReady(reason: string, message: string, hint?: string): Verdict {
  return { status: 'False', reason, message, ...(hint === undefined ? {} : { hint }) }
}

/** What is in use changes by the block; to the byte it would say nothing more. */
function inWholeMebibytes(bytes: number): string {
  return `${Math.max(1, Math.ceil(bytes / 2 ** 20))}Mi`
}
