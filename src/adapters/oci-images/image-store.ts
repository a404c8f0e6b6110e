import { resolve } from 'node:path'
import type { ImageReference } from '../../api/image-reference.ts'
import type { UnpackedImage } from '../../core/driver.ts'
import type { ImageStore, OnProgress } from '../../core/images.ts'
import { type Clock, systemClock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { bootstrap, readRecipe } from './bootstrap.ts'
import { ImageFolder } from './image-folder.ts'
import { recipeDigest } from './recipe.ts'
import { Sharing } from './share.ts'
import { requireRoot } from './tool.ts'

export interface ImageStoreOptions {
  /**
   * Where images are kept; several processes may share it. Files in it carry the owners, modes and set-uid bits that
   * the images give them, so a parent must keep the host's other users out.
   */
  readonly dir: string
  /** Where `oci-archive:NAME` and `oci:NAME` are looked up. */
  readonly archivesDir: string
  /** Debian mirror for `bootstrap:SUITE`; default: the one that the host's apt uses. */
  readonly mirror?: string
  readonly registries?: {
    /** `host` or `host:port` of registries that may speak plain http or have a certificate nobody knows. */
    readonly insecure?: readonly string[]
    /** Credentials file as `skopeo login --authfile` writes it. Default: no credentials, whoever runs the runner. */
    readonly authFile?: string
  }
  /** Ceiling for one unpacked image. */
  readonly maxBytes?: number
  readonly log: Log
  readonly clock?: Clock
}

const MAX_BYTES = 20 * 2 ** 30

/** An image store on this host's disk, by skopeo, umoci and mmdebstrap. Needs root. */
export function createImageStore(options: ImageStoreOptions): ImageStore {
  const folder = new ImageFolder(resolve(options.dir))
  const sharing = new Sharing<UnpackedImage>()
  const maxBytes = options.maxBytes ?? MAX_BYTES
  const clock = options.clock ?? systemClock

  async function ensureBootstrap(suite: string, onProgress: OnProgress, signal: AbortSignal) {
    const reference = `bootstrap:${suite}`
    const recipe = await readRecipe(suite, options.mirror)
    const digest = recipeDigest(recipe)
    const found = await folder.find(digest, reference)
    if (found !== undefined) return found
    requireRoot()
    return sharing.run(digest, onProgress, signal, async (tell, aborted) => {
      const started = clock.now()
      const image = await folder.make(digest, reference, tell, aborted, into =>
        bootstrap(recipe, into, maxBytes, tell, aborted),
      )
      options.log.info({ reference, digest, tookMs: clock.now() - started }, 'image made')
      return image
    })
  }

  return {
    async ensure(reference, onProgress, signal) {
      if (reference.kind === 'bootstrap') return ensureBootstrap(reference.suite, onProgress, signal)
      throw new Error('later')
    },
    async find(reference: ImageReference) {
      if (reference.kind === 'bootstrap') {
        const recipe = await readRecipe(reference.suite, options.mirror)
        return folder.find(recipeDigest(recipe), `bootstrap:${reference.suite}`)
      }
      throw new Error('later')
    },
  }
}
