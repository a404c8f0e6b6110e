// Which images may go. Several runners of one host may share a folder of images; each writes down which ones it uses,
// stopped environments and snapshots included, and what any of them uses stays.
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { ImageCollection, StoredImage } from '../../core/images.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { Fault } from '../../lib/fault.ts'
import { isMissing, removeDrafts } from './image-folder.ts'
import { forgetRefs, listImages } from './inventory.ts'
import { tryLock } from './lock.ts'

/**
 * More than the pause between two collections: whoever asked for an image has it in its list by then, a start that is
 * under way included.
 */
const LEAST_IDLE_MS: Millis = 15 * 60_000

/** Pure. The longest idle first, so that whoever stops half-way has removed the right ones. */
export function planCollection(
  images: readonly StoredImage[],
  used: ReadonlySet<string>,
  maxIdleMs: Millis,
  nowMs: Millis,
): readonly StoredImage[] {
  const beforeMs = nowMs - Math.max(LEAST_IDLE_MS, maxIdleMs)
  return images
    .filter(({ digest, usedMs }) => !used.has(digest) && usedMs < beforeMs)
    .toSorted((a, b) => a.usedMs - b.usedMs)
}

const usesSchema = z.object({ digests: z.array(z.string()) })

/** See `ImageStore.collect`. `dir` is laid out as image-folder.ts says, and holds `users/NAME.json` besides. */
export async function collectImages(
  dir: string,
  { user, used, maxIdleMs }: ImageCollection,
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly StoredImage[]> {
  if (!/^[a-z0-9-]{1,63}$/.test(user))
    throw new Fault('invalid', 'image-user', `'${user}' is no name of a runner`)
  const users = join(dir, 'users')
  await mkdir(users, { recursive: true, mode: 0o755 })
  const own = join(users, `${user}.json`)
  await writeFile(`${own}.new`, JSON.stringify({ digests: [...used].sort() }), { mode: 0o644 })
  await rename(`${own}.new`, own)
  await removeDrafts(dir, undefined, signal)
  const removed: StoredImage[] = []
  const images = await listImages(dir, signal)
  for (const image of planCollection(images, await usedByAnybody(users), maxIdleMs, clock.now())) {
    signal.throwIfAborted()
    if (!(await removeImage(dir, image.digest, clock, signal))) continue
    await forgetRefs(dir, image.digest)
    removed.push(image)
  }
  return removed
}

/** Faults when one of the lists cannot be read: what is not known to be unused stays. */
async function usedByAnybody(users: string): Promise<ReadonlySet<string>> {
  const files = (await readdir(users)).filter(name => name.endsWith('.json'))
  const lists = await Promise.all(
    files.map(async name => usesSchema.parse(JSON.parse(await readFile(join(users, name), 'utf8'))).digests),
  )
  return new Set(lists.flat())
}

/** False: somebody makes it, or has just asked for it. */
async function removeImage(dir: string, digest: string, clock: Clock, signal: AbortSignal): Promise<boolean> {
  const name = digest.replace(':', '-')
  const lock = await tryLock(join(dir, 'locks', name), signal)
  if (lock === undefined) return false
  try {
    const { mtimeMs } = await stat(join(dir, name))
    if (clock.now() - mtimeMs < LEAST_IDLE_MS) return false
    // Gone at once for everybody; what a crash leaves in `tmp` is swept by whoever makes the next image.
    const away = join(dir, 'tmp', `${name}.gone`)
    await rm(away, { recursive: true, force: true })
    await rename(join(dir, name), away)
    if ((await stat(away)).mtimeMs !== mtimeMs) {
      // Somebody has found it between our look and the move.
      await rename(away, join(dir, name))
      return false
    }
    failpoint('images.image-away')
    await rm(away, { recursive: true, force: true })
    return true
  } catch (cause) {
    if (isMissing(cause)) return false // Another runner was faster.
    throw cause
  } finally {
    await lock.release()
  }
}
