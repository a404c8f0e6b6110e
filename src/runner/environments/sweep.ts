import { describeKey, type Key } from '../../api/resource.ts'
import type { Driver, SandboxId } from '../../core/driver.ts'
import type { Store } from '../../core/store.ts'
import type { Log } from '../../lib/log.ts'
import { findRecord } from './record.ts'

/**
 * Removes what lies on the host and belongs to no environment any more: deleted while this runner was away. `known` are
 * the uids of a successful list; and each one that is missing there is asked for by name once more. A server that cannot
 * be reached is a fault, never an answer: nothing is removed then.
 */
export async function sweep(options: {
  readonly driver: Driver
  readonly store: Store
  readonly known: () => ReadonlySet<string>
  readonly drop: (id: SandboxId) => void
  readonly log: Log
}): Promise<void> {
  const { driver, store, known, drop, log } = options
  for (const id of await driver.list()) {
    if (known().has(id)) continue
    const record = await findRecord(driver.folder(id))
    if (record === undefined || record.uid !== id) {
      log.warn({ uid: id }, 'kept: nothing says which environment this belongs to')
      continue
    }
    const key: Key<'Environment'> = { kind: 'Environment', namespace: record.namespace, name: record.name }
    const found = await store.find(key)
    // Another environment has the name now: ours is gone all the same.
    if (found?.metadata.uid === id) continue
    log.info({ uid: id, environment: describeKey(key) }, 'removing what belongs to nobody any more')
    drop(id)
    await driver.destroy(id)
  }
}
