import { statfs } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { ImageReference } from '../../api/image-reference.ts'
import type { Background } from '../../core/background.ts'
import type { UnpackedImage } from '../../core/driver.ts'
import type { ImageStore, OnProgress } from '../../core/images.ts'
import { type Clock, systemClock, timestamp } from '../../lib/clock.ts'
import { Fault, toFault } from '../../lib/fault.ts'
import type { Log } from '../../lib/log.ts'
import { mustRun } from '../../lib/run-process.ts'
import { archiveDigest, linkArchive, locateArchive } from './archive.ts'
import { BlobCache } from './blob-cache.ts'
import { bootstrap, readRecipe } from './bootstrap.ts'
import { collectImages } from './collect.ts'
import { inWords, type Limits } from './growth.ts'
import { type FilledImage, ImageFolder, type ImageRef } from './image-folder.ts'
import { listImages } from './inventory.ts'
import { recipeDigest } from './recipe.ts'
import { pullSource, type RegistryAccess, resolveDigest } from './registry.ts'
import { type RegistryImage, splitReference } from './registry-reference.ts'
import { Sharing } from './share.ts'
import { requireRoot } from './tool.ts'
import { unpack } from './unpack.ts'

type ArchiveReference = Extract<ImageReference, { kind: 'archive' }>

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
  /** Ceilings for one unpacked image. Defaults: 20 GiB, five million files. */
  readonly maxBytes?: number
  readonly maxFiles?: number
  /** Most that is kept of downloads, for later images with the same layers. Default 4 GiB; nought keeps none. */
  readonly cacheBytes?: number
  /** What is left for everybody, and how much of it images leave alone. Default: of the file system of `dir`. */
  readonly room?: () => Promise<ImageRoom>
  readonly log: Log
  readonly clock?: Clock
  /** How images are made. Default: as many at a time as are asked for. */
  readonly background?: Background
}

export interface ImageRoom {
  readonly freeBytes: number
  /** Below so many free bytes nothing is fetched or unpacked. */
  readonly lowBytes: number
}

const MAX_BYTES = 20 * 2 ** 30
// The largest images seen in the wild have one; a file takes half a kilobyte even if it is empty.
const MAX_FILES = 5_000_000
const CACHE_BYTES = 4 * 2 ** 30
const LOW = { bytes: 2 ** 29, share: 0.05 }

/** An image store on this host's disk, by skopeo, umoci and mmdebstrap. Needs root. */
export function createImageStore(options: ImageStoreOptions): ImageStore {
  const sharing = new Sharing<UnpackedImage>()
  const limits: Limits = {
    maxBytes: options.maxBytes ?? MAX_BYTES,
    maxFiles: options.maxFiles ?? MAX_FILES,
    requireRoom,
  }
  const clock = options.clock ?? systemClock
  const { background } = options
  const folder = new ImageFolder(resolve(options.dir), clock)
  const cache = new BlobCache({
    dir: resolve(options.dir),
    maxBytes: options.cacheBytes ?? CACHE_BYTES,
    clock,
  })

  async function requireRoom(what: string, bytes = 0): Promise<number> {
    const { freeBytes, lowBytes } = await (options.room ?? roomOf)()
    if (freeBytes - lowBytes >= bytes) return freeBytes - lowBytes
    const free = `${what}: the runner's host has ${inWords(freeBytes)} left, and keeps ${inWords(lowBytes)}`
    const hint = 'delete environments, snapshots or files there; images that nobody uses go by themselves'
    throw new Fault('exhausted', 'image-no-room', free, { hint })
  }

  async function roomOf(): Promise<ImageRoom> {
    const { blocks, bavail, bsize } = await statfs(resolve(options.dir))
    return { freeBytes: bavail * bsize, lowBytes: Math.min(LOW.bytes, blocks * bsize * LOW.share) }
  }

  /** Makes an image unless it is there, once for everybody who asks. */
  async function make(
    digest: string,
    reference: string,
    onProgress: OnProgress,
    signal: AbortSignal,
    fill: (into: string, tell: OnProgress, aborted: AbortSignal) => Promise<FilledImage>,
  ): Promise<UnpackedImage> {
    const found = await folder.find(digest, reference)
    if (found !== undefined) return found
    requireRoot()
    const image = await sharing.run(digest, onProgress, signal, async (tell, aborted) => {
      const started = clock.now()
      const fillIn = (into: string) => fill(into, tell, aborted)
      const making = () => folder.make(digest, reference, tell, aborted, fillIn)
      const onWait = (before: number) =>
        tell(`${reference} waits for other images that are being made, ${before + 1} at least`)
      const made = await (background === undefined ? making() : background.run(making, aborted, onWait))
      options.log.info({ reference, digest, tookMs: clock.now() - started }, 'image made')
      return made
    })
    // Another reference to the same digest may have been the one that was made.
    return { ...image, reference }
  }

  async function ensureBootstrap(suite: string, onProgress: OnProgress, signal: AbortSignal) {
    const recipe = await readRecipe(suite, options.mirror)
    return make(recipeDigest(recipe), `bootstrap:${suite}`, onProgress, signal, (into, tell, aborted) =>
      bootstrap(recipe, into, limits, tell, aborted, background),
    )
  }

  async function ensureArchive(wanted: ArchiveReference, onProgress: OnProgress, signal: AbortSignal) {
    const archive = await locateArchive(options.archivesDir, wanted)
    const { reference, stamp } = archive
    const known = await folder.findRef(reference)
    const digest = known?.stamp === stamp ? known.digest : await archiveDigest(archive, signal)
    const image = await make(digest, reference, onProgress, signal, async (into, tell, aborted) =>
      unpack(
        { reference, source: await linkArchive(archive, into), folder: into, limits, background },
        tell,
        aborted,
      ),
    )
    if (known?.stamp !== stamp) await folder.writeRef({ reference, digest, resolvedMs: clock.now(), stamp })
    return image
  }

  async function ensureFromRegistry(text: string, onProgress: OnProgress, signal: AbortSignal) {
    const wanted = splitReference(text)
    const access = {
      insecure: options.registries?.insecure?.includes(wanted.registry) ?? false,
      authFile: options.registries?.authFile,
    }
    const cached = await folder.findRef(text)
    const resolved = wanted.digest ?? (await resolveOrUndefined(wanted, access, cached, onProgress, signal))
    if (resolved === undefined) {
      const image = cached && (await folder.find(cached.digest, text))
      if (image !== undefined) return image
      throw new Fault('unavailable', 'image-vanished', `find image ${text}: it was removed meanwhile`, {
        hint: 'try again',
      })
    }
    const image = await make(resolved, text, onProgress, signal, async (into, tell, aborted) => {
      const source = await pullSource(wanted, resolved, access)
      return unpack({ reference: text, source, folder: into, limits, cache, background }, tell, aborted)
    })
    if (cached?.digest !== resolved) {
      await folder.writeRef({ reference: text, digest: resolved, resolvedMs: clock.now() })
    }
    return image
  }

  /** Undefined when the registry cannot be asked but an earlier answer is here. */
  async function resolveOrUndefined(
    wanted: RegistryImage,
    access: RegistryAccess,
    cached: ImageRef | undefined,
    onProgress: OnProgress,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    try {
      return await resolveDigest(wanted, access, signal)
    } catch (cause) {
      const usable = cached && (await folder.find(cached.digest, wanted.text))
      if (toFault(cause).reason !== 'unavailable' || usable === undefined) throw cause
      const when = timestamp(cached!.resolvedMs)
      onProgress(`${wanted.registry} cannot be reached: using ${wanted.text} as it was at ${when}`)
      options.log.info(
        { reference: wanted.text, code: toFault(cause).code },
        'registry not reachable, image cached',
      )
      return undefined
    }
  }

  return {
    ensure(reference, onProgress, signal) {
      switch (reference.kind) {
        case 'bootstrap':
          return ensureBootstrap(reference.suite, onProgress, signal)
        case 'archive':
          return ensureArchive(reference, onProgress, signal)
        case 'registry':
          return ensureFromRegistry(reference.reference, onProgress, signal)
      }
    },

    async collect(request, signal) {
      const removed = await collectImages(resolve(options.dir), request, clock, signal)
      const freed = await cache.trim(request.maxIdleMs)
      // A file system gives back, to the file that it may lie in, what it has committed to be free: now, not in half a minute.
      // XFS frees what was removed a moment after that, so whoever still has too little room asks again, and it is given.
      if (removed.length > 0 || freed > 0 || request.maxIdleMs === 0)
        await mustRun(['sync', '--file-system', resolve(options.dir)], { signal })
      for (const { digest, references } of removed)
        options.log.info({ digest, references }, 'image removed: nobody uses it')
      return removed
    },

    list: signal => listImages(resolve(options.dir), signal),

    async find(reference) {
      if (reference.kind === 'bootstrap') {
        const recipe = await readRecipe(reference.suite, options.mirror)
        return folder.find(recipeDigest(recipe), `bootstrap:${reference.suite}`)
      }
      if (reference.kind === 'registry') {
        const digest =
          splitReference(reference.reference).digest ?? (await folder.findRef(reference.reference))?.digest
        return digest === undefined ? undefined : folder.find(digest, reference.reference)
      }
      // An archive that was removed after it was unpacked can still be used.
      const known = await folder.findRef(`${reference.format}:${reference.name}`)
      return known && folder.find(known.digest, known.reference)
    },
  }
}
