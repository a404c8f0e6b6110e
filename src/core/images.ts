import type { ImageReference } from '../api/image-reference.ts'
import type { UnpackedImage } from './driver.ts'

/** Called with a sentence whenever work has advanced; silence for long means a stall. */
export type OnProgress = (message: string) => void

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
  /** The image if it is here already; asks no registry. */
  find(reference: ImageReference): Promise<UnpackedImage | undefined>
}
