import { RUNNER_FINALIZER } from '../../api/ownership.ts'
import { type Key, type Resource } from '../../api/resource.ts'
import type { Driver } from '../../core/driver.ts'
import { type EventRecorder, withHint } from '../../core/events.ts'
import { again, type Outcome, type ReconcileContext, type Reconciler, settled } from '../../core/reconcile.ts'
import { writeMain, writeStatus } from '../../core/write.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Clock } from '../../lib/clock.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { Fault, REASONS, toFault } from '../../lib/fault.ts'
import type { LiveSandboxes } from '../environments/live-sandboxes.ts'
import { findSource } from '../environments/source.ts'
import { plan } from './plan.ts'
import { findSnapshotRecord, type SnapshotRecord, writeSnapshotRecord } from './record.ts'
import * as say from './status.ts'

type Snapshot = Resource<'Snapshot'>

export interface SnapshotsOptions {
  readonly driver: Driver
  readonly sandboxes: LiveSandboxes
  readonly clock: Clock
  readonly events: EventRecorder
  readonly runner: { readonly namespace: string; readonly name: string }
  /** Removes what lies on the host and belongs to nobody any more. */
  readonly sweep: () => Promise<void>
}

const ATTEMPTS = 5
const RETRY = { baseMs: 500, maxMs: 30_000 }

/** Makes what this host keeps agree with the snapshots bound to it: a plan and a thin act. */
export function snapshots(options: SnapshotsOptions): Reconciler<'Snapshot'> {
  const { driver, runner, clock } = options
  /** How often in a row; nothing breaks when it is forgotten. */
  const failures = new Map<string, number>()

  const act = async (snapshot: Snapshot, context: ReconcileContext): Promise<Outcome> => {
    const { store } = context
    const { uid } = snapshot.metadata
    const folder = driver.snapshotFolder(uid)
    const [record, disk] = await Promise.all([findSnapshotRecord(folder), driver.findSnapshot(uid)])
    const step = plan(snapshot, { isKept: record !== undefined && disk !== undefined })
    switch (step.kind) {
      case 'nothing':
        return settled(step.why)
      case 'report-lost':
        await writeStatus(store, snapshot, latest => say.lost(latest, clock.now()))
        return settled('its disk is not here any more')
      case 'report-ready':
        await reportReady(options, snapshot, context)
        return settled('it is kept')
      case 'destroy':
        await destroy(options, snapshot, record, context)
        failures.delete(uid)
        return settled('it is gone')
      case 'take':
        break
    }
    try {
      await take(options, snapshot, context)
      failures.delete(uid)
      return settled('it is taken')
    } catch (error) {
      if (context.signal.aborted) throw error
      const fault = toFault(error)
      const count = (failures.get(uid) ?? 0) + 1
      failures.set(uid, count)
      const isFinal = REASONS[fault.reason].retry === 'never' || count >= ATTEMPTS
      const { reason, code, message } = fault
      context.log.warn({ reason, code, message, isFinal }, 'snapshot not taken')
      await writeStatus(store, snapshot, latest => say.failed(latest, fault, isFinal, clock.now()))
      options.events.record({
        regarding: snapshot,
        type: 'Warning',
        reason: 'FailedSnapshot',
        note: withHint(fault),
        action: 'Creating',
      })
      return isFinal ? settled(fault.message) : again(backoffMs(count, RETRY), fault.message)
    }
  }

  return {
    name: 'snapshots',
    kind: 'Snapshot',
    scope: { namespace: runner.namespace, fields: { 'spec.runner': runner.name } },
    async reconcile(_key: Key<'Snapshot'>, snapshot, context) {
      if (snapshot !== undefined) return act(snapshot, context)
      await options.sweep()
      return settled('it is gone')
    },
  }
}

async function take(
  { driver, sandboxes, clock }: SnapshotsOptions,
  snapshot: Snapshot,
  { store, signal }: ReconcileContext,
): Promise<void> {
  const { uid, name, namespace = '' } = snapshot.metadata
  const source = await findSource(snapshot, store, driver)
  if (!('environment' in source.disk))
    throw new Fault('internal', 'snapshot-source', 'snapshots are of environments')
  const { environment } = source.disk
  const announced = await writeStatus(store, snapshot, latest => say.creating(latest, clock.now()))
  const found = await store.find({ kind: 'Environment', namespace, name: snapshot.spec.environment })
  const epoch = found?.metadata.uid === environment ? found.status.epoch : 0
  // What is on the disk of one start is not told as another's.
  const running = await sandboxes.find(environment)
  if (running !== undefined && running.epoch !== epoch) {
    throw new Fault(
      'unavailable',
      'environment-starting',
      `take snapshot '${name}': its environment is just being started`,
    )
  }
  const folder = driver.snapshotFolder(uid)
  const record: SnapshotRecord = {
    ...{ uid, namespace, name, createdMs: clock.now(), environment: { uid: environment, epoch } },
    ...source.record,
  }
  await writeSnapshotRecord(folder, record)
  failpoint('runner.snapshot-recorded')
  const copy = await driver.takeSnapshot(uid, environment, signal)
  failpoint('runner.snapshot-taken')
  if (copy !== undefined) {
    const { pausedMs, extents } = copy
    await writeSnapshotRecord(folder, {
      ...record,
      copy: { pausedMs, ...(extents === undefined ? {} : { extents }) },
    })
  }
  await reportReady({ driver, clock }, announced, { store })
}

async function reportReady(
  { driver, clock }: Pick<SnapshotsOptions, 'driver' | 'clock'>,
  snapshot: Snapshot,
  { store }: Pick<ReconcileContext, 'store'>,
): Promise<void> {
  const { uid } = snapshot.metadata
  const [record, disk] = await Promise.all([
    findSnapshotRecord(driver.snapshotFolder(uid)),
    driver.findSnapshot(uid),
  ])
  if (record === undefined || disk === undefined)
    throw new Fault('internal', 'snapshot-vanished', `report snapshot ${uid}: its disk has just gone`)
  await writeStatus(store, snapshot, latest => say.ready(latest, record, disk, clock.now()))
}

async function destroy(
  { driver, clock }: SnapshotsOptions,
  snapshot: Snapshot,
  record: SnapshotRecord | undefined,
  { store, log }: ReconcileContext,
): Promise<void> {
  const { uid } = snapshot.metadata
  const folder = driver.snapshotFolder(uid)
  const deleting = await writeStatus(store, snapshot, latest => say.deleting(latest, clock.now()))
  if (record !== undefined) await writeSnapshotRecord(folder, { ...record, deleting: true })
  failpoint('runner.snapshot-deleting')
  await driver.destroySnapshot(uid)
  failpoint('runner.snapshot-destroyed')
  log.info({ uid }, 'snapshot destroyed')
  await writeMain(store, deleting, latest => {
    const finalizers = (latest.metadata.finalizers ?? []).filter(each => each !== RUNNER_FINALIZER)
    return { ...latest, metadata: { ...latest.metadata, finalizers } }
  }).catch(error => {
    if (toFault(error).reason !== 'not_found') throw error // Gone is what was wanted.
  })
}
