import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { OnProgress } from '../../core/images.ts'
import { Fault } from '../../lib/fault.ts'
import { createCeiling, folderBytes, inWords, isFull, tooLarge, watching } from './growth.ts'
import { parsePlatforms } from './image-config.ts'
import type { ImageConfig } from './image-folder.ts'
import { prepareLayout } from './layout.ts'
import { inspect, policy, type Source } from './registry.ts'
import { checkOwners, removeDevices } from './rootfs.ts'
import { runTool } from './tool.ts'
import { explainToolFailure } from './tool-failure.ts'

export interface UnpackOptions {
  /** For messages. */
  readonly reference: string
  /** Resolved against `folder`. */
  readonly source: Source
  readonly folder: string
  readonly maxBytes: number
}

const CHECK_MS = 500
const LAYOUT = 'layout'

/**
 * Copies an image into `folder/layout` and unpacks its layers into `folder/rootfs`. umoci keeps every entry of a layer
 * below the root, whatever its name or the links on its way say. The layout is removed afterwards.
 */
export async function unpack(
  options: UnpackOptions,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<ImageConfig> {
  const { folder, reference, maxBytes } = options
  const what = `fetch image ${reference}`
  const layout = join(folder, LAYOUT)
  const rootfs = join(folder, 'rootfs')
  await copy(options, onProgress, signal)
  const config = await prepareLayout(layout, what, maxBytes, signal)
  const ceiling = createCeiling(folder, maxBytes + (await folderBytes(layout)))
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
    }),
  )
  if (result.code !== 0) throw await explain(`unpack image ${reference}`, folder, result.stderr)
  await rm(layout, { recursive: true })
  await createCeiling(rootfs, maxBytes).final(signal)
  await checkOwners(rootfs, signal)
  await removeDevices(rootfs, signal)
  return config
}

async function copy(options: UnpackOptions, onProgress: OnProgress, signal: AbortSignal): Promise<void> {
  const { folder, reference, maxBytes, source } = options
  const what = `fetch image ${reference}`
  onProgress(`fetching ${reference}`)
  const tell = onGrowth(bytes => onProgress(`fetching ${reference}: ${inWords(bytes)}`))
  const check = async () => {
    const bytes = await folderBytes(folder)
    tell(bytes)
    if (bytes > maxBytes) throw tooLarge(what)
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
  const result = await watching(CHECK_MS, check, signal, aborted =>
    runTool(argv, { cwd: folder, signal: aborted }),
  )
  if (result.code !== 0)
    throw await withPlatforms(await explain(what, folder, result.stderr), options, signal)
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

async function explain(what: string, folder: string, stderr: string): Promise<Fault> {
  // A full disk makes tools fail in many words; the file system says it in one.
  return explainToolFailure(what, (await isFull(folder)) ? `${stderr}\nno space left on device` : stderr)
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
