// What images, disks and snapshots take on a runner, as its Runner object's status tells it.
import type { RunnerStatus } from '../api/kinds/runner.ts'
import { roundedQuantity } from '../api/quantity.ts'
import type { DiskUsage, Driver } from '../core/driver.ts'
import type { ImageStore, StoredImage } from '../core/images.ts'
import { type Millis, timestamp } from '../lib/clock.ts'

export type StorageStatus = NonNullable<RunnerStatus['storage']>

export interface Measured {
  readonly driver: Driver
  readonly images: ImageStore
  /** How many environments and snapshots lie on top of each image, by digest. */
  readonly used: ReadonlyMap<string, number>
  readonly nowMs: Millis
}

// The status of a runner is read often: the others are told by their number and their sum.
const LARGEST = 20

export async function measureStorage(
  { driver, images, used, nowMs }: Measured,
  signal: AbortSignal,
): Promise<StorageStatus> {
  const [{ sizeBytes, freeBytes }, disks, snapshots, stored] = await Promise.all([
    driver.storage(),
    usages(await driver.list(), id => driver.findDisk(id)),
    usages(await driver.listSnapshots(), id => driver.findSnapshot(id)),
    images.list(signal),
  ])
  return {
    time: timestamp(nowMs),
    size: roundedQuantity(sizeBytes),
    free: roundedQuantity(freeBytes),
    disks: sumUp(disks.map(({ usedBytes }) => usedBytes)),
    snapshots: sumUp(snapshots.map(({ usedBytes }) => usedBytes)),
    images: {
      ...sumUp(stored.map(({ bytes }) => bytes)),
      largest: stored
        .toSorted((a, b) => b.bytes - a.bytes)
        .slice(0, LARGEST)
        .map(image => describe(image, used)),
    },
  }
}

function describe({ digest, references, bytes, usedMs }: StoredImage, used: ReadonlyMap<string, number>) {
  return {
    digest,
    references: references.slice(0, 5),
    size: roundedQuantity(bytes),
    lastUsed: timestamp(usedMs),
    users: used.get(digest) ?? 0,
  }
}

/** One after another: in a crowd of a thousand it must not be in anybody's way. */
async function usages<Id>(
  ids: readonly Id[],
  find: (id: Id) => Promise<DiskUsage | undefined>,
): Promise<DiskUsage[]> {
  const found: DiskUsage[] = []
  for (const id of ids) {
    const usage = await find(id)
    if (usage !== undefined) found.push(usage)
  }
  return found
}

function sumUp(sizes: readonly number[]): { count: number; size: string } {
  return { count: sizes.length, size: roundedQuantity(sizes.reduce((sum, bytes) => sum + bytes, 0)) }
}
