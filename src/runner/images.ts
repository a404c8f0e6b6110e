// Keeps the images that environments and snapshots lie on top of, and lets the others go after a while.
import type { Driver } from '../core/driver.ts'
import type { ImageStore } from '../core/images.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import { toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import { findRecord } from './environments/record.ts'
import { findSnapshotRecord } from './snapshots/record.ts'

export interface ImageUpkeepOptions {
  readonly driver: Driver
  readonly images: ImageStore
  /** The runner's uid: names it among those that share the images. */
  readonly user: string
  readonly isLow: () => boolean
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

const EVERY_MS: Millis = 10 * 60_000
const WEEK_MS: Millis = 7 * 24 * 60 * 60_000

/** Until `signal` aborts. With little room left, what is not in use goes at once. */
export async function runImageUpkeep(options: ImageUpkeepOptions): Promise<void> {
  const { driver, images, user, isLow, clock, log, signal } = options
  while (!signal.aborted) {
    await clock.sleep(EVERY_MS, signal).catch(() => undefined) // Aborted: the loop sees it.
    if (signal.aborted) return
    try {
      const used = await usedImages(driver)
      await images.collect({ user, used, maxIdleMs: isLow() ? 0 : WEEK_MS }, signal)
    } catch (error) {
      const { code, message } = toFault(error)
      if (!signal.aborted) log.warn({ code, message }, 'images not collected')
    }
  }
}

/** Digests. Faults when a record cannot be read: what it names must not go. */
export async function usedImages(driver: Driver): Promise<ReadonlySet<string>> {
  const [environments, snapshots] = await Promise.all([driver.list(), driver.listSnapshots()])
  const records = await Promise.all([
    ...environments.map(id => findRecord(driver.folder(id))),
    ...snapshots.map(id => findSnapshotRecord(driver.snapshotFolder(id))),
  ])
  return new Set(records.flatMap(record => record?.image?.digest ?? []))
}
