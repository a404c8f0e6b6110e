import { createHash } from 'node:crypto'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { Fault } from '../../lib/fault.ts'
import { type Limits, tooLarge, watching } from './growth.ts'
import { type Descriptor, parseConfig, parseIndex, parseManifest } from './image-config.ts'
import type { ImageConfig } from './image-folder.ts'
import { runTool } from './tool.ts'
import { explainUnpackFailure } from './tool-failure.ts'

const ZSTD = '+zstd'
const PROGRAM = fileURLToPath(new URL('zstd-to-tar.ts', import.meta.url))
const TOO_LARGE = 3
const CHECK_MS = 500
const madeSchema = z.object({ size: z.number(), digest: z.string() })

/** Digests of the layers, as they were fetched. */
export async function layersOf(layout: string, what: string): Promise<readonly string[]> {
  const index = parseIndex(await readFile(join(layout, 'index.json'), 'utf8'), what)
  const manifest = parseManifest(await readFile(blob(layout, index.digest), 'utf8'), what)
  return manifest.layers.map(layer => layer.digest)
}

/** Where the blobs of a layout lie. */
export function blobsOf(layout: string): string {
  return join(layout, 'blobs', 'sha256')
}

/**
 * Reads what skopeo wrote, and turns layers compressed with zstd, which umoci 0.4 does not know, into plain tar.
 * Only the copy being worked on is changed.
 */
export async function prepareLayout(
  layout: string,
  what: string,
  limits: Limits,
  signal: AbortSignal,
): Promise<ImageConfig> {
  const indexFile = join(layout, 'index.json')
  const index = parseIndex(await readFile(indexFile, 'utf8'), what)
  const manifestText = await readFile(blob(layout, index.digest), 'utf8')
  const manifest = parseManifest(manifestText, what)
  const { diffIds, ...config } = parseConfig(
    await readFile(blob(layout, manifest.config.digest), 'utf8'),
    what,
  )
  if (!manifest.layers.some(layer => layer.mediaType.endsWith(ZSTD))) return config
  const layers: Descriptor[] = []
  let rest = limits.maxBytes
  for (const [at, layer] of manifest.layers.entries()) {
    const diffId = diffIds[at]
    if (!layer.mediaType.endsWith(ZSTD) || diffId === undefined) {
      layers.push(layer)
      continue
    }
    const size = await decompress(layout, layer, diffId, { ...limits, maxBytes: rest, what, signal })
    rest -= size
    layers.push({ mediaType: layer.mediaType.slice(0, -ZSTD.length), digest: diffId, size })
  }
  await replaceManifest(layout, manifestText, index, layers)
  return config
}

async function decompress(
  layout: string,
  { digest: from }: Descriptor,
  to: string,
  { maxBytes, requireRoom, what, signal }: Limits & { readonly what: string; readonly signal: AbortSignal },
): Promise<number> {
  // It may be there already, lent by others: that file is not ours to write to.
  await rm(blob(layout, to), { force: true })
  // A little of zstd becomes much faster than anybody could look: what it may take is known before.
  const most = Math.min(maxBytes, await requireRoom(what))
  const argv = [PROGRAM, blob(layout, from), blob(layout, to), String(most)]
  const check = () => requireRoom(what)
  const { code, stdout, stderr } = await watching(CHECK_MS, check, signal, aborted =>
    runTool([process.execPath, ...argv], { cwd: layout, signal: aborted }),
  )
  if (code === TOO_LARGE && most < maxBytes) await requireRoom(what, Number.POSITIVE_INFINITY)
  if (code === TOO_LARGE) throw tooLarge(what)
  if (code !== 0) throw explainUnpackFailure(what, stderr)
  const { size, digest } = madeSchema.parse(JSON.parse(stdout))
  if (digest === to) return size
  const hint = 'build or push the image again'
  throw new Fault('invalid', 'image-layer-digest', `${what}: a layer is not what its metadata says`, { hint })
}

async function replaceManifest(layout: string, text: string, index: Descriptor, layers: Descriptor[]) {
  const manifest = JSON.stringify({ ...(JSON.parse(text) as object), layers })
  const digest = `sha256:${createHash('sha256').update(manifest).digest('hex')}`
  await writeFile(blob(layout, digest), manifest)
  const file = join(layout, 'index.json')
  const whole = JSON.parse(await readFile(file, 'utf8')) as { manifests: object[] }
  const entry = { ...whole.manifests[0], ...index, digest, size: (await stat(blob(layout, digest))).size }
  await writeFile(file, JSON.stringify({ ...whole, manifests: [{ ...whole.manifests[0], ...entry }] }))
}

function blob(layout: string, digest: string): string {
  return join(layout, 'blobs', ...digest.split(':'))
}
