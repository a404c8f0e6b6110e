// Disks of environments and snapshots: one sparse ext4 image each, in a folder of its own. An image that is there under
// its name is complete: it is made under another one beside it.
import type { Stats } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat, truncate } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { DiskCopy, DiskSource, DiskUsage, SandboxId, SnapshotId } from '../../core/driver.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { toFault } from '../../lib/fault.ts'
import { isUuid, randomSuffix } from '../../lib/ids.ts'
import type { Limiter } from '../../lib/limiter.ts'
import { copyDisk } from './disk-copy.ts'
import type { DiskStore } from './disk-store.ts'
import { copyTemplate, sweepTemplates } from './disk-templates.ts'
import { growDisk } from './keeper-request.ts'
import {
  diskImage,
  environmentsDir,
  type Layout,
  runtimePaths,
  snapshotImage,
  snapshotsDir,
} from './layout.ts'
import { requireRoom } from './pool.ts'

const DRAFT = '.new'

/** How long a copy waits for a source that is on its way up or down. */
const PATIENCE_MS: Millis = 10_000
const POLL_MS: Millis = 50

export interface DiskImagesOptions {
  readonly layout: Layout
  /** The folder that the pool lies in. */
  readonly parent: string
  readonly clock: Clock
  /** Whose turn it is to copy. */
  readonly copies: Limiter
}

export class DiskImages implements DiskStore {
  readonly #options: DiskImagesOptions

  constructor(options: DiskImagesOptions) {
    this.#options = options
  }

  /** A reflink of a formatted template, so it takes milliseconds whatever its size. */
  async ensure(id: SandboxId, sizeBytes: number, signal: AbortSignal): Promise<void> {
    const { layout } = this.#options
    const image = diskImage(layout, id)
    const before = await sizeOf(image)
    if (before !== undefined) {
      if (before < sizeBytes) await this.#grow(id, image, sizeBytes, signal)
      return
    }
    await this.#make(image, async draft => {
      await copyTemplate(layout, sizeBytes, draft)
    })
  }

  copy(id: SandboxId, source: DiskSource, signal: AbortSignal): Promise<DiskCopy | undefined> {
    return this.#copyOnce(source, diskImage(this.#options.layout, id), signal)
  }

  keep(id: SnapshotId, environment: SandboxId, signal: AbortSignal): Promise<DiskCopy | undefined> {
    return this.#copyOnce({ environment }, snapshotImage(this.#options.layout, id), signal)
  }

  find(id: SandboxId): Promise<DiskUsage | undefined> {
    return diskUsage(diskImage(this.#options.layout, id))
  }

  findKept(id: SnapshotId): Promise<DiskUsage | undefined> {
    return diskUsage(snapshotImage(this.#options.layout, id))
  }

  /** Also of images that somebody else has finished since. */
  async sweep(): Promise<void> {
    const { layout } = this.#options
    for (const dir of [environmentsDir(layout), snapshotsDir(layout)])
      for (const id of (await readdir(dir)).filter(isUuid)) await removeDrafts(join(dir, id, 'disk.img'))
    await sweepTemplates(layout)
  }

  /** Their blocks are shared in a moment, during which the sandbox cannot end. */
  async interrupt(): Promise<void> {}

  /** Whether an image is in use is asked of its lock. */
  async released(): Promise<void> {}

  async #copyOnce(source: DiskSource, image: string, signal: AbortSignal): Promise<DiskCopy | undefined> {
    if ((await sizeOf(image)) !== undefined) return undefined
    return this.#make(image, async draft => {
      const copy = await this.#copyTo(draft, source, signal)
      // Whoever hears that it is there may delete what it was made of.
      await sync(draft)
      return copy
    })
  }

  async #copyTo(target: string, source: DiskSource, signal: AbortSignal): Promise<DiskCopy> {
    const { layout, clock, copies } = this.#options
    const [image, keeperSocket] =
      'snapshot' in source
        ? [snapshotImage(layout, source.snapshot), '']
        : [diskImage(layout, source.environment), runtimePaths(layout, source.environment).socket]
    const untilMs = clock.now() + PATIENCE_MS
    for (;;) {
      try {
        const copy = () => copyDisk({ source: image, target, keeperSocket, clock, signal })
        return await copies(copy, signal)
      } catch (error) {
        // Its sandbox is on its way up or down, and there is a keeper, or no mount, in a moment.
        if (toFault(error).code !== 'keeper-gone' || clock.now() > untilMs) throw error
        await clock.sleep(POLL_MS, signal)
      }
    }
  }

  async #make<T>(image: string, fill: (draft: string) => Promise<T>): Promise<T> {
    const { parent, layout } = this.#options
    await requireRoom(parent, layout.pool)
    await mkdir(dirname(image), { recursive: true, mode: 0o711 })
    await removeDrafts(image)
    // Whoever still works for a runner that was killed has a draft of its own.
    const draft = `${image}.${randomSuffix(8)}${DRAFT}`
    try {
      const made = await fill(draft)
      failpoint('linux.disk-copied')
      await rename(draft, image)
      return made
    } catch (error) {
      await rm(draft, { force: true })
      throw error
    }
  }

  async #grow(id: SandboxId, image: string, sizeBytes: number, signal: AbortSignal): Promise<void> {
    const { layout, clock } = this.#options
    try {
      await growDisk(runtimePaths(layout, id).socket, sizeBytes, clock, signal)
    } catch (error) {
      if (toFault(error).code !== 'keeper-gone') throw error
      // What is not mounted grows when it is: see `disk` in keeper.pl.
      await truncate(image, sizeBytes)
    }
  }
}

/** What was begun for a runner that was killed. */
async function removeDrafts(image: string): Promise<void> {
  const isDraft = (name: string) => name.startsWith(`${basename(image)}.`) && name.endsWith(DRAFT)
  for (const name of await readdir(dirname(image)))
    if (isDraft(name)) await rm(join(dirname(image), name), { force: true })
}

/** Undefined: there is no such image. */
export async function diskUsage(image: string): Promise<DiskUsage | undefined> {
  const found = await statOf(image)
  // st_blocks counts in units of 512 bytes, whatever the file system's are.
  return found && { sizeBytes: found.size, usedBytes: found.blocks * 512 }
}

async function sizeOf(image: string): Promise<number | undefined> {
  return (await statOf(image))?.size
}

async function statOf(image: string): Promise<Stats | undefined> {
  return stat(image).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw cause
  })
}

async function sync(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
