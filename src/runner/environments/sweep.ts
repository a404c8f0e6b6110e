import { describeKey, type Key } from '../../api/resource.ts'
import type { Driver, SandboxId } from '../../core/driver.ts'
import type { Store } from '../../core/store.ts'
import type { Log } from '../../lib/log.ts'
import { findRecord } from './record.ts'

export interface SweepOptions {
  readonly driver: Driver
  readonly store: Store
  /** The uids of a successful list. */
  readonly known: () => ReadonlySet<string>
  readonly drop: (id: SandboxId) => void
  readonly log: Log
  /** What was kept and told already, so that it is told once. */
  readonly told: Set<SandboxId>
}

/**
 * Removes what is left of environments whose deletion this runner has seen. What the server does not know otherwise is
 * kept, disk and sandbox, and told: an environment never goes without its runner unless somebody took the runner's
 * finalizer off, and a database that was emptied or restored from a backup looks just the same. Each one is asked for by
 * name once more; a server that cannot be reached is a fault, never an answer.
 */
export async function sweep({ driver, store, known, drop, log, told }: SweepOptions): Promise<void> {
  for (const id of await driver.list()) {
    if (known().has(id)) continue
    const record = await findRecord(driver.folder(id))
    if (record?.deleting !== true || record.uid !== id) {
      const { namespace, name } = record ?? {}
      if (!told.has(id))
        log.warn({ uid: id, namespace, name, folder: driver.folder(id) }, 'kept: the server does not know it')
      told.add(id)
      continue
    }
    const key: Key<'Environment'> = { kind: 'Environment', namespace: record.namespace, name: record.name }
    const found = await store.find(key)
    // Another environment has the name now: ours is gone all the same.
    if (found?.metadata.uid === id) continue
    log.info({ uid: id, environment: describeKey(key) }, 'removing the rest of what was deleted')
    drop(id)
    await driver.destroy(id)
  }
}
