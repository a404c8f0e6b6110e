import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Background } from '../../core/background.ts'
import type { OnProgress } from '../../core/images.ts'
import { Fault, toFault } from '../../lib/fault.ts'
import type { BlobCache } from './blob-cache.ts'
import { createCeiling, folderBytes, inWords, isFull, type Limits, tooLarge, watching } from './growth.ts'
import { parsePlatforms } from './image-config.ts'
import type { FilledImage } from './image-folder.ts'
import { blobsOf, layersOf, prepareLayout } from './layout.ts'
import { inspect, policy, type Source } from './registry.ts'
import { checkOwners, removeDevices } from './rootfs.ts'
import { runTool } from './tool.ts'
import { explainToolFailure, explainUnpackFailure } from './tool-failure.ts'

export interface UnpackOptions {
  /** For messages. */
  readonly reference: string
  /** Resolved against `folder`. */
  readonly source: Source
  readonly folder: string
  readonly limits: Limits
  /** Of layers that came from registries. */
  readonly cache?: BlobCache
  readonly background?: Background | undefined
}

const CHECK_MS = 500
const LAYOUT = 'layout'
/** What a layer that is not what it was may end as: by its bytes, by what they expand to, or because they do not. */
const SPOILT: ReadonlySet<string> = new Set(['image-corrupt', 'image-layer-digest', 'image-malformed'])

/**
 * Copies an image into `folder/layout` and unpacks its layers into `folder/rootfs`. umoci keeps every entry of a layer
 * below the root, whatever its name or the links on its way say. The layout is removed afterwards.
 */
export async function unpack(
  options: UnpackOptions,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<FilledImage> {
  const { folder, cache } = options
  const layout = join(folder, LAYOUT)
  if (cache === undefined) return unpackOnce(options, onProgress, signal)
  const lent = await cache.lend(blobsOf(layout))
  try {
    return await unpackOnce(options, onProgress, signal)
  } catch (error) {
    const layers = SPOILT.has(toFault(error).code) ? await layersIfThere(layout) : []
    if (!layers.some(digest => lent.has(digest))) throw error
    // Perhaps it was a kept layer, cut short by a power cut: once more, from the registry alone.
    await cache.forget(layers)
    for (const name of [LAYOUT, 'rootfs']) await rm(join(folder, name), { recursive: true, force: true })
    return unpackOnce(options, onProgress, signal)
  }
}

/** None: it did not get so far. */
async function layersIfThere(layout: string): Promise<readonly string[]> {
  return layersOf(layout, 'read what was fetched').catch(() => [])
}

async function unpackOnce(
  options: UnpackOptions,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<FilledImage> {
  const { folder, reference, limits, cache, background } = options
  const what = `fetch image ${reference}`
  const layout = join(folder, LAYOUT)
  const rootfs = join(folder, 'rootfs')
  await copy(options, onProgress, signal)
  const layers = await layersOf(layout, what)
  const config = await prepareLayout(layout, what, limits, signal)
  const maxBytes = limits.maxBytes + (await folderBytes(layout))
  const ceiling = createCeiling(folder, { ...limits, maxBytes })
  const check = async () => {
    await ceiling.check(signal)
    tell(await ceiling.growth())
  }
  const tell = onGrowth(bytes => onProgress(`unpacking ${reference}: ${inWords(bytes)}`))
  onProgress(`unpacking ${reference}`)
  await ceiling.check(signal)
  const result = await watching(CHECK_MS, check, signal, aborted =>
    runTool(['umoci', 'raw', 'unpack', '--image', `${LAYOUT}:image`, 'rootfs'], {
      cwd: folder,
      signal: aborted,
      background,
    }),
  )
  if (result.code !== 0)
    throw explainUnpackFailure(`unpack image ${reference}`, await withFullDisk(folder, result.stderr))
  // Only now: what is kept has been through all that looks at it.
  await cache?.keep(blobsOf(layout), layers)
  await rm(layout, { recursive: true })
  const bytes = await createCeiling(rootfs, limits).final(signal)
  await checkOwners(rootfs, signal)
  await removeDevices(rootfs, signal)
  return { config, bytes }
}

async function copy(options: UnpackOptions, onProgress: OnProgress, signal: AbortSignal): Promise<void> {
  const { folder, reference, limits, source, background } = options
  const what = `fetch image ${reference}`
  onProgress(`fetching ${reference}`)
  const tell = onGrowth(bytes => onProgress(`fetching ${reference}: ${inWords(bytes)}`))
  const lentBytes = await folderBytes(folder)
  const check = async () => {
    await limits.requireRoom(what)
    const bytes = (await folderBytes(folder)) - lentBytes
    tell(bytes)
    if (bytes > limits.maxBytes) throw tooLarge(what)
  }
  const argv: [string, ...string[]] = [
    'skopeo',
    ...(await policy()),
    '--override-os',
    'linux',
    'copy',
    // An OCI layout has no place for signatures; the policy above has judged them by then.
    '--remove-signatures',
    '--quiet',
    ...source.copy,
    `oci:${LAYOUT}:image`,
  ]
  await limits.requireRoom(what)
  const result = await watching(CHECK_MS, check, signal, aborted =>
    runTool(argv, { cwd: folder, signal: aborted, background }),
  )
  if (result.code !== 0) {
    const fault = explainToolFailure(what, await withFullDisk(folder, result.stderr))
    throw await withPlatforms(fault, options, signal)
  }
  await check()
}

/** The same, and which platforms there are, if that is what it is about. */
async function withPlatforms(fault: Fault, { source, folder }: UnpackOptions, signal: AbortSignal) {
  if (fault.code !== 'image-architecture') return fault
  const platforms = parsePlatforms((await inspect(source, folder, signal)).stdout)
  if (platforms.length === 0) return fault
  const message = `${fault.message}; it is there for ${platforms.join(', ')}`
  return new Fault(fault.reason, fault.code, message, {
    cause: fault,
    ...(fault.hint && { hint: fault.hint }),
  })
}

/** A full disk makes tools fail in many words; the file system says it in one. */
async function withFullDisk(folder: string, stderr: string): Promise<string> {
  return (await isFull(folder)) ? `${stderr}\nno space left on device` : stderr
}

/** Calls back only if there is more than last time: silence means that nothing moves. */
function onGrowth(callback: (bytes: number) => void): (bytes: number) => void {
  let last = 0
  return bytes => {
    if (bytes < last + 1e6) return
    last = bytes
    callback(bytes)
  }
}
