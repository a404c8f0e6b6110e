// Layers as registries send them, kept for the next image that has them, too: most new versions of an image share all but
// their last layers with the one before. Below the folder of the images:
//
//   blobs/sha256-HEX     a layer, complete and checked, by the digest of these very bytes
//
// Everything here is linked, never copied: what is removed stays with whoever has it in hand.
import { link, mkdir, readdir, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock, Millis } from '../../lib/clock.ts'
import { isMissing } from './image-folder.ts'

/** Each is lent to every image that is fetched: a thousand empty layers an image must not become a million. */
const MAX_BLOBS = 2_000
const NAME = /^sha256-[0-9a-f]{64}$/

export interface BlobCacheOptions {
  /** The folder of the images. */
  readonly dir: string
  /** Most that it may hold; nought: nothing is kept. */
  readonly maxBytes: number
  readonly clock: Clock
}

interface Blob {
  readonly path: string
  readonly bytes: number
  readonly usedMs: Millis
}

export class BlobCache {
  readonly #dir: string
  readonly #maxBytes: number
  readonly #clock: Clock

  constructor({ dir, maxBytes, clock }: BlobCacheOptions) {
    this.#dir = join(dir, 'blobs')
    this.#maxBytes = maxBytes
    this.#clock = clock
  }

  /**
   * Puts all that is here into `folder`, as the blobs of a layout, so that they are not fetched. Changes to them are
   * forbidden. Resolves with their digests.
   */
  async lend(folder: string): Promise<ReadonlySet<string>> {
    await mkdir(folder, { recursive: true })
    const names = await this.#names()
    for (const name of names)
      await link(join(this.#dir, name), join(folder, name.replace('sha256-', ''))).catch(unlessMissing)
    return new Set(names.map(name => name.replace('-', ':')))
  }

  /** Keeps the blobs of `folder` that have these digests, and lets the longest unused go. */
  async keep(folder: string, digests: readonly string[]): Promise<void> {
    if (this.#maxBytes === 0) return
    // Closed to the users of the host, who may not read what an image holds.
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    const nowS = this.#clock.now() / 1000
    for (const digest of new Set(digests)) {
      const target = join(this.#dir, digest.replace(':', '-'))
      await link(join(folder, digest.replace('sha256:', '')), target).catch(
        (cause: NodeJS.ErrnoException) => {
          if (cause.code !== 'EEXIST') throw cause
        },
      )
      await utimes(target, nowS, nowS).catch(unlessMissing)
    }
    await this.trim(Number.POSITIVE_INFINITY)
  }

  /** They led to an image that is none: nobody is to have them again. */
  async forget(digests: readonly string[]): Promise<void> {
    for (const digest of digests) await rm(join(this.#dir, digest.replace(':', '-')), { force: true })
  }

  /** Removes what was not used for so long, and what is beyond the bound, the longest unused first. How many bytes. */
  async trim(maxIdleMs: Millis): Promise<number> {
    const blobs = (await this.#list()).toSorted((a, b) => b.usedMs - a.usedMs)
    const beforeMs = this.#clock.now() - maxIdleMs
    let [kept, count, freed] = [0, 0, 0]
    for (const { path, bytes, usedMs } of blobs) {
      if (count < MAX_BLOBS && kept + bytes <= this.#maxBytes && usedMs >= beforeMs) {
        kept += bytes
        count++
      } else {
        await rm(path, { force: true })
        freed += bytes
      }
    }
    return freed
  }

  async #list(): Promise<Blob[]> {
    const describe = async (name: string): Promise<Blob> => {
      const path = join(this.#dir, name)
      const { size, mtimeMs } = await stat(path)
      return { path, bytes: size, usedMs: mtimeMs }
    }
    const found = await Promise.all((await this.#names()).map(name => describe(name).catch(unlessMissing)))
    return found.filter(blob => blob !== undefined)
  }

  async #names(): Promise<string[]> {
    const names = (await readdir(this.#dir).catch(unlessMissing)) ?? []
    return names.filter(name => NAME.test(name))
  }
}

/** Others who share the folder remove things, too. */
function unlessMissing(cause: unknown): undefined {
  if (!isMissing(cause)) throw cause
  return undefined
}
