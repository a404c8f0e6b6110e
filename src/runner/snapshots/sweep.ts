import type { Key } from '../../api/resource.ts'
import type { Driver, SnapshotId } from '../../core/driver.ts'
import type { Store } from '../../core/store.ts'
import type { Log } from '../../lib/log.ts'
import { findSnapshotRecord } from './record.ts'

export interface SnapshotSweepOptions {
  readonly driver: Driver
  readonly store: Store
  /** The uids of a successful list. */
  readonly known: () => ReadonlySet<string>
  readonly log: Log
  /** What was kept and told already, so that it is told once. */
  readonly told: Set<SnapshotId>
}

/** As for environments: removes what is left of snapshots whose deletion this runner has seen, keeps and tells the rest. */
export async function sweepSnapshots({
  driver,
  store,
  known,
  log,
  told,
}: SnapshotSweepOptions): Promise<void> {
  for (const id of await driver.listSnapshots()) {
    if (known().has(id)) continue
    const folder = driver.snapshotFolder(id)
    const record = await findSnapshotRecord(folder)
    if (record?.deleting !== true || record.uid !== id) {
      const { namespace, name } = record ?? {}
      if (!told.has(id))
        log.warn({ uid: id, namespace, name, folder }, 'snapshot kept: the server does not know it')
      told.add(id)
      continue
    }
    const key: Key<'Snapshot'> = { kind: 'Snapshot', namespace: record.namespace, name: record.name }
    if ((await store.find(key))?.metadata.uid === id) continue
    log.info({ uid: id, name: record.name }, 'removing the rest of a snapshot that was deleted')
    await driver.destroySnapshot(id)
  }
}
