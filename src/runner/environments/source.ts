// What a copied environment begins with: whose disk, and what lies on it.
import { mayCopy, sourceKey } from '../../api/ownership.ts'
import { describeKey, type Resource } from '../../api/resource.ts'
import type { DiskSource, Driver } from '../../core/driver.ts'
import type { Store } from '../../core/store.ts'
import { Fault } from '../../lib/fault.ts'
import { findSnapshotRecord } from '../snapshots/record.ts'
import { type EnvironmentRecord, findRecord } from './record.ts'

export interface Source {
  readonly disk: DiskSource
  /** For people: `environment/calm-otter`. */
  readonly what: string
  readonly record: Required<Pick<EnvironmentRecord, 'content' | 'image'>>
}

/**
 * Faults with `not_found` when it is gone, `forbidden` when it belongs to somebody else, `unavailable` when it is not made
 * yet. The scheduler has seen to all of that; but time has passed, and another may have its name now.
 */
export async function findSource(
  copy: Resource<'Environment' | 'Snapshot'>,
  store: Store,
  driver: Driver,
): Promise<Source> {
  const key = sourceKey(copy)
  if (key === undefined) throw new Fault('internal', 'source-none', 'find what to copy: it copies nothing')
  const attempt = `copy ${describeKey(key)}`
  const source: Resource<'Environment' | 'Snapshot'> | undefined = await store.find(key)
  if (source === undefined || source.metadata.deletionTimestamp !== undefined)
    throw new Fault('not_found', 'source-not-found', `${attempt}: it is gone`, { hint: 'copy another one' })
  if (!mayCopy(source, copy))
    throw new Fault('forbidden', 'source-forbidden', `${attempt}: it belongs to somebody else`)
  if (source.spec.runner !== copy.spec.runner)
    throw new Fault('unsupported', 'source-elsewhere', `${attempt}: it is on another runner`)
  const { uid, name } = source.metadata
  const isSnapshot = source.kind === 'Snapshot'
  const { content, image } =
    (isSnapshot
      ? await findSnapshotRecord(driver.snapshotFolder(uid))
      : await findRecord(driver.folder(uid))) ?? {}
  if (content === undefined || image === undefined) {
    const hint = 'wait until it runs, or is ready'
    throw new Fault('unavailable', 'source-not-ready', `${attempt}: it is not made yet`, { hint })
  }
  return {
    disk: isSnapshot ? { snapshot: uid } : { environment: uid },
    what: `${key.kind.toLowerCase()}/${name}`,
    record: { content, image },
  }
}
