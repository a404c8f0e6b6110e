import type { ImageReference } from '../api/image-reference.ts'
import type { Millis } from '../lib/clock.ts'
import type { UnpackedImage } from './driver.ts'

/** Called with a sentence whenever work has advanced; silence for long means a stall. */
export type OnProgress = (message: string) => void

export interface ImageCollection {
  /** Names this runner among those that share the images. */
  readonly user: string
  /** Digests of the images that its environments and snapshots lie on top of, whether they run or not. */
  readonly used: ReadonlySet<string>
  /** What nobody has asked for for so long goes. A quarter of an hour is kept: somebody may be about to use it. */
  readonly maxIdleMs: Millis
}

/** An image as it lies on the host. */
export interface StoredImage {
  readonly digest: string
  /** What it was asked for as; none for one that was only asked for by digest. */
  readonly references: readonly string[]
  /** What it takes on disk. */
  readonly bytes: number
  /** When it was made or asked for last, to the minute. */
  readonly usedMs: Millis
}

/**
 * Turns references into directories, once per digest: concurrent calls for one image share one download, and a crash
 * in the middle leaves nothing that looks finished.
 */
export interface ImageStore {
  /**
   * Faults: `not_found` (no such image or tag), `forbidden` (credentials needed), `unavailable` (registry or mirror
   * not reachable), `exhausted` (no space), `invalid` (not an image).
   */
  ensure(reference: ImageReference, onProgress: OnProgress, signal: AbortSignal): Promise<UnpackedImage>
  /**
   * Removes images that nobody has used for a while and that no environment or snapshot of anybody who shares them lies on
   * top of. Resolves with those that went, the longest idle first.
   */
  collect(request: ImageCollection, signal: AbortSignal): Promise<readonly StoredImage[]>
  /** All that are here. */
  list(signal: AbortSignal): Promise<readonly StoredImage[]>
  /** The image if it is here already; asks no registry. */
  find(reference: ImageReference): Promise<UnpackedImage | undefined>
}
