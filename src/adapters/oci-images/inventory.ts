// Which images lie in a folder, and what they take: read from the folder, remembered nowhere else.
import { readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { StoredImage } from '../../core/images.ts'
import { diskUsage } from './growth.ts'
import { type ImageRef, isMissing, parseRef } from './image-folder.ts'

/** All finished images of a folder laid out as image-folder.ts says. Those that go meanwhile are left out. */
export async function listImages(dir: string, signal: AbortSignal): Promise<StoredImage[]> {
  const names = await namesIn(dir)
  const references = new Map<string, string[]>()
  for (const { ref } of await readRefs(dir))
    references.set(ref.digest, [...(references.get(ref.digest) ?? []), ref.reference].sort())
  const images: StoredImage[] = []
  for (const name of names.filter(each => /^sha256-[0-9a-f]{64}$/.test(each))) {
    const digest = name.replace('-', ':')
    try {
      const { mtimeMs } = await stat(join(dir, name))
      const bytes = await bytesOf(join(dir, name), signal)
      images.push({ digest, references: references.get(digest) ?? [], bytes, usedMs: mtimeMs })
    } catch (cause) {
      if (!isMissing(cause)) throw cause
    }
  }
  return images
}

/** Forgets what stood for an image that is gone. */
export async function forgetRefs(dir: string, digest: string): Promise<void> {
  for (const { file, ref } of await readRefs(dir)) if (ref.digest === digest) await rm(file, { force: true })
}

/** As it was counted when the image was made, or now, for one that an earlier version made. */
async function bytesOf(folder: string, signal: AbortSignal): Promise<number> {
  const file = join(folder, 'bytes')
  try {
    return Number.parseInt(await readFile(file, 'utf8'), 10) || 0
  } catch (cause) {
    if (!isMissing(cause)) throw cause
  }
  const { atime, mtime } = await stat(folder)
  const bytes = await diskUsage(join(folder, 'rootfs'), 'bytes', signal)
  await writeFile(file, `${bytes}\n`, { mode: 0o644 })
  // When it was used last is known by the folder's time, which the new file has changed.
  await utimes(folder, atime, mtime)
  return bytes
}

async function readRefs(dir: string): Promise<{ file: string; ref: ImageRef }[]> {
  const folder = join(dir, 'refs')
  const names = (await namesIn(folder)).filter(name => name.endsWith('.json'))
  const read = async (name: string) => {
    const file = join(folder, name)
    // Gone or half-written: it is asked for again when somebody needs it.
    const ref = parseRef(await readFile(file, 'utf8').catch(() => ''))
    return ref === undefined ? [] : [{ file, ref }]
  }
  return (await Promise.all(names.map(read))).flat()
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (cause) {
    if (isMissing(cause)) return [] // No image was made yet.
    throw cause
  }
}
