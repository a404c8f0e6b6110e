// Keeps the images that environments and snapshots lie on top of, lets the others go after a while or when room is short,
// and measures what everything takes.
import { roundedQuantity } from '../api/quantity.ts'
import type { Driver } from '../core/driver.ts'
import type { ImageStore, StoredImage } from '../core/images.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import { toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import { findRecord } from './environments/record.ts'
import { findSnapshotRecord } from './snapshots/record.ts'
import { measureStorage, type StorageStatus } from './storage.ts'

export interface ImageUpkeepOptions {
  readonly driver: Driver
  readonly images: ImageStore
  /** The runner's uid: names it among those that share the images. */
  readonly user: string
  /** Digests of images that starts under way are about to use. */
  readonly inFlight: () => Iterable<string>
  /** What nobody uses is kept for so long. */
  readonly idleMs: Millis
  readonly isLow: () => boolean
  /** False: images lie on a file system of their own, and disks gain nothing when some of them go. */
  readonly shareRoom: () => Promise<boolean>
  readonly onRemoved: (note: string) => void
  readonly onStorage: (storage: StorageStatus) => void
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

export interface ImageUpkeep {
  /** Until its signal aborts. */
  run(): Promise<void>
  /** Something was fetched or removed: what is told of the storage is out of date. */
  changed(): void
  /** Removes at once what nobody uses, for disks or for other images. True: there is more room now. Never faults. */
  makeRoom(whatFor: 'disk' | 'image'): Promise<boolean>
}

const EVERY_MS: Millis = 10 * 60_000
// While room is short, images become old enough to go one by one.
const EVERY_LOW_MS: Millis = 60_000
// News wait for so long, so that a crowd of starts is one measurement and one write.
const LINGER_MS: Millis = 15_000

export function createImageUpkeep(options: ImageUpkeepOptions): ImageUpkeep {
  const { driver, images, user, isLow, clock, log, signal } = options
  let news = Promise.withResolvers<void>()
  let making: Promise<boolean> | undefined

  const collect = async (maxIdleMs: Millis): Promise<readonly StoredImage[]> => {
    // Before as well as after: a start that ends meanwhile is in a record that we may have looked for too early.
    const used = new Set(options.inFlight())
    for (const digest of [...(await usedImages(driver)).keys(), ...options.inFlight()]) used.add(digest)
    const removed = await images.collect({ user, used, maxIdleMs }, signal)
    if (removed.length > 0) options.onRemoved(noteOf(removed, maxIdleMs))
    return removed
  }
  const attempt = async (what: string, body: () => Promise<void>): Promise<void> => {
    try {
      await body()
    } catch (error) {
      const { code, message } = toFault(error)
      if (!signal.aborted) log.warn({ what, code, message }, 'upkeep of images failed')
    }
  }
  const clear = async (): Promise<boolean> => {
    let removed = 0
    await attempt('make room', async () => {
      removed = (await collect(0)).length
    })
    if (removed > 0) news.resolve()
    return removed > 0
  }
  /** Several who want room at once share one look. */
  const makeRoom = async (whatFor: 'disk' | 'image'): Promise<boolean> => {
    if (whatFor === 'disk' && !(await options.shareRoom())) return false
    making ??= clear().finally(() => {
      making = undefined
    })
    return making
  }

  return {
    makeRoom,
    changed: () => news.resolve(),
    async run() {
      const sleep = (ms: Millis, ending: AbortSignal) => clock.sleep(ms, ending).catch(() => undefined) // Ended: seen below.
      while (!signal.aborted) {
        news = Promise.withResolvers<void>()
        await attempt('collect', async () => {
          if (isLow()) await makeRoom('disk')
          await collect(options.idleMs)
        })
        await attempt('measure', async () => {
          const used = await usedImages(driver)
          options.onStorage(await measureStorage({ driver, images, used, nowMs: clock.now() }, signal))
        })
        if (signal.aborted) return
        const woken = new AbortController()
        void news.promise.then(() => woken.abort())
        await sleep(isLow() ? EVERY_LOW_MS : EVERY_MS, AbortSignal.any([signal, woken.signal]))
        await sleep(LINGER_MS, signal)
      }
    },
  }
}

/** How many environments and snapshots lie on top of each, by digest. Faults when a record cannot be read: what it names must not go. */
export async function usedImages(driver: Driver): Promise<ReadonlyMap<string, number>> {
  const byId = new Map<string, string>()
  const note = async (
    id: string,
    record: Promise<{ image?: { digest: string } | undefined } | undefined>,
  ) => {
    const digest = (await record)?.image?.digest
    if (digest !== undefined) byId.set(id, digest)
  }
  const lookAtEnvironments = async () => {
    await Promise.all((await driver.list()).map(id => note(id, findRecord(driver.folder(id)))))
  }
  // One after another, and there and back: a snapshot is kept of an environment that goes while we look, an environment is
  // made of a snapshot that goes. On one side or the other they are seen.
  await lookAtEnvironments()
  const snapshots = await driver.listSnapshots()
  await Promise.all(snapshots.map(id => note(id, findSnapshotRecord(driver.snapshotFolder(id)))))
  await lookAtEnvironments()
  const counts = new Map<string, number>()
  for (const digest of byId.values()) counts.set(digest, (counts.get(digest) ?? 0) + 1)
  return counts
}

function noteOf(removed: readonly StoredImage[], maxIdleMs: Millis): string {
  const size = roundedQuantity(removed.reduce((sum, { bytes }) => sum + bytes, 0))
  const many = removed.length === 1 ? 'one image' : `${removed.length} images`
  const why = maxIdleMs === 0 ? 'to make room' : `not used for ${Math.round(maxIdleMs / 86_400_000)} days`
  const names = removed.map(({ references, digest }) => references[0] ?? digest).slice(0, 10)
  return `removed ${many} that nothing needs, ${size}, ${why}: ${names.join(', ')}`
}
