import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { UnpackedImage } from '../../core/driver.ts'
import type { OnProgress } from '../../core/images.ts'
import { type Clock, type Millis, systemClock } from '../../lib/clock.ts'
import { mustRun } from '../../lib/run-process.ts'
import { acquireLock, tryLock } from './lock.ts'

// On disk, below the folder given:
//
//   sha256-HEX/rootfs, sha256-HEX/config.json    finished images; they appear by one rename and never change
//   sha256-HEX/bytes                             what that takes on disk, in decimal
//   refs/HEX.json                                what a reference stood for when it was last asked
//   blobs/sha256-HEX                             layers as they were fetched: see blob-cache.ts
//   locks/sha256-HEX, tmp/sha256-HEX.RANDOM/     images being made, and what a crash left of them

const configSchema = z.strictObject({
  env: z.array(z.string()),
  user: z.string(),
  workingDir: z.string(),
  init: z.array(z.string()).optional(),
})
/** What processes in an image start with. */
export type ImageConfig = z.infer<typeof configSchema>

/** What was made of an image's folder. */
export interface FilledImage {
  readonly config: ImageConfig
  /** What `rootfs` takes on disk. */
  readonly bytes: number
}

const refSchema = z.strictObject({
  reference: z.string(),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  /** When the reference was looked up, in milliseconds since the epoch. */
  resolvedMs: z.number(),
  /** For archives: the file's identity, so that a changed file is noticed without reading it. */
  stamp: z.string().optional(),
})
/** What a reference stood for when it was last asked. */
export type ImageRef = z.infer<typeof refSchema>

const TOUCH_MS: Millis = 60_000

/** The finished images of one host, by digest, and how new ones come among them. */
export class ImageFolder {
  readonly #dir: string
  readonly #clock: Clock

  constructor(dir: string, clock: Clock = systemClock) {
    this.#dir = dir
    this.#clock = clock
  }

  async find(digest: string, reference: string): Promise<UnpackedImage | undefined> {
    const folder = join(this.#dir, fileName(digest))
    const text = await readIfThere(join(folder, 'config.json'))
    if (text === undefined) return undefined
    const config = configSchema.parse(JSON.parse(text))
    try {
      await this.#touch(folder)
    } catch (cause) {
      if (isMissing(cause)) return undefined // It was removed while we looked.
      throw cause
    }
    return { reference, digest, layers: [join(folder, 'rootfs')], ...config }
  }

  /** Notes that it is in demand, so that it is not collected; a note a minute is enough. */
  async #touch(folder: string): Promise<void> {
    const { mtimeMs } = await stat(folder)
    const nowMs = this.#clock.now()
    if (nowMs - mtimeMs > TOUCH_MS) await utimes(folder, nowMs / 1000, nowMs / 1000)
  }

  async findRef(reference: string): Promise<ImageRef | undefined> {
    const text = await readIfThere(this.#refFile(reference))
    if (text === undefined) return undefined
    const ref = parseRef(text)
    return ref?.reference === reference ? ref : undefined
  }

  async writeRef(ref: ImageRef): Promise<void> {
    await this.#makeDirs()
    const file = this.#refFile(ref.reference)
    const beside = `${file}.${randomBytes(6).toString('hex')}`
    await writeFile(beside, `${JSON.stringify(ref)}\n`, { mode: 0o644 })
    await rename(beside, file)
  }

  /**
   * Makes an image unless it exists: `fill` gets an empty folder in which it makes `rootfs`; whatever else
   * it leaves there is removed. Only one process on the
   * host makes a given image at a time; the others wait and find it made.
   */
  async make(
    digest: string,
    reference: string,
    onProgress: OnProgress,
    signal: AbortSignal,
    fill: (folder: string) => Promise<FilledImage>,
  ): Promise<UnpackedImage> {
    await this.#makeDirs()
    const waiting = () => onProgress(`another process is preparing ${reference}`)
    const lock = await acquireLock(this.#lockFile(fileName(digest)), waiting, signal)
    const folder = join(this.#dir, 'tmp', `${fileName(digest)}.${randomBytes(6).toString('hex')}`)
    try {
      const made = await this.find(digest, reference)
      if (made !== undefined) return made
      await removeDrafts(this.#dir, fileName(digest), signal)
      await makeDir(folder)
      const { bytes, ...filled } = await fill(folder)
      const config = configSchema.parse(filled.config)
      for (const name of await readdir(folder)) {
        if (name !== 'rootfs') await rm(join(folder, name), { recursive: true })
      }
      await writeFile(join(folder, 'config.json'), `${JSON.stringify(config)}\n`, { mode: 0o644 })
      await writeFile(join(folder, 'bytes'), `${bytes}\n`, { mode: 0o644 })
      // The set-uid programs in it are root's here, and whoever made the image chose them: not for this host's users.
      await chmod(folder, 0o700)
      // The rename must not reach the disk before the files do, or a power cut leaves an image of empty files.
      await mustRun(['sync', '--file-system', folder], { signal })
      await rename(folder, join(this.#dir, fileName(digest)))
    } finally {
      await rm(folder, { recursive: true, force: true })
      await lock.release()
    }
    const image = await this.find(digest, reference)
    if (image === undefined) throw new Error(`image ${digest} vanished while it was made`)
    return image
  }

  async #makeDirs(): Promise<void> {
    for (const folder of ['', 'refs', 'locks', 'tmp']) await makeDir(join(this.#dir, folder))
  }

  #lockFile(name: string): string {
    return join(this.#dir, 'locks', name)
  }

  #refFile(reference: string): string {
    return join(this.#dir, 'refs', `${createHash('sha256').update(reference).digest('hex')}.json`)
  }
}

/**
 * Removes what crashed attempts, or removals, left in that folder of images, except what other processes are working on.
 * The lock of `held`, a folder's name, is ours.
 */
export async function removeDrafts(
  dir: string,
  held: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  const tmp = join(dir, 'tmp')
  const entries = await readdir(tmp).catch(cause => {
    if (isMissing(cause)) return [] // No image was made yet.
    throw cause
  })
  for (const entry of entries) {
    const name = entry.split('.')[0]!
    const lock = name === held ? undefined : await tryLock(join(dir, 'locks', name), signal)
    if (name !== held && lock === undefined) continue
    await rm(join(tmp, entry), { recursive: true, force: true })
    await lock?.release()
  }
}

// The root user of a sandbox is nobody on the host: it must be able to pass through, whatever our umask is.
async function makeDir(path: string): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode: 0o755 })
  if (made !== undefined) await chmod(path, 0o755)
}

function fileName(digest: string): string {
  return digest.replace(':', '-')
}

/** Undefined: an entry that cannot be read is one that has to be asked for again. */
export function parseRef(text: string): ImageRef | undefined {
  return refSchema.safeParse(tryJson(text)).data
}

export function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    if (isMissing(cause)) return undefined
    throw cause
  }
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Half a file after a power cut: the caller treats it as absent.
    return undefined
  }
}
