import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'

/** One entry of a layer, written as it is: names may be as hostile as a test needs them. */
export interface TarEntry {
  readonly name: string
  readonly type?: 'file' | 'directory' | 'symlink' | 'link' | 'character'
  readonly content?: string | Uint8Array
  readonly target?: string
  readonly mode?: number
  readonly uid?: number
  readonly device?: readonly [number, number]
}

export interface LayoutOptions {
  readonly layers: readonly (readonly TarEntry[])[]
  readonly config?: Readonly<Record<string, unknown>>
  /** In place of the whole image configuration. */
  readonly rawConfig?: object
  readonly compression?: 'gzip' | 'zstd'
  /** What the layers are said to be, if not what they are. */
  readonly mediaType?: string
  readonly architecture?: string
}

/** Writes an OCI image layout with one image and returns its manifest's digest. */
export async function writeLayout(folder: string, options: LayoutOptions): Promise<string> {
  await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true })
  const put = async (bytes: Uint8Array | string) => {
    const hex = createHash('sha256').update(bytes).digest('hex')
    await writeFile(join(folder, 'blobs', 'sha256', hex), bytes)
    return { digest: `sha256:${hex}`, size: Buffer.byteLength(bytes) }
  }
  const tars = options.layers.map(tar)
  const compression = options.compression ?? 'gzip'
  const compress = compression === 'gzip' ? gzipSync : zstdCompressSync
  const mediaType = options.mediaType ?? `application/vnd.oci.image.layer.v1.tar+${compression}`
  const layers = []
  for (const layer of tars) layers.push({ mediaType, ...(await put(compress(layer))) })
  const config = await put(
    JSON.stringify(
      options.rawConfig ?? {
        architecture: options.architecture ?? (process.arch === 'x64' ? 'amd64' : process.arch),
        os: 'linux',
        config: options.config ?? {},
        rootfs: {
          type: 'layers',
          diff_ids: tars.map(layer => `sha256:${createHash('sha256').update(layer).digest('hex')}`),
        },
      },
    ),
  )
  const manifest = await put(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...config },
      layers,
    }),
  )
  const entry = { mediaType: 'application/vnd.oci.image.manifest.v1+json', ...manifest }
  await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }))
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
  return manifest.digest
}

const TYPES = { file: '0', link: '1', symlink: '2', character: '3', directory: '5', pax: 'x' } as const

/** A POSIX tar archive of the entries. */
export function tar(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.flatMap(entry =>
    entry.name.length > 100 ? [...paxName(entry.name), ...blocksOf(entry)] : blocksOf(entry),
  )
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

/** A header of the kind that names what a plain one has no room for. */
function paxName(name: string): Buffer[] {
  const field = ` path=${name}\n`
  let length = field.length
  while (`${length}${field}`.length !== length) length = `${length}${field}`.length
  return blocksOf({ name: 'PaxHeader', type: 'pax', content: `${length}${field}` })
}

function blocksOf(entry: Omit<TarEntry, 'type'> & { readonly type?: keyof typeof TYPES }): Buffer[] {
  const content = Buffer.from(entry.content ?? '')
  const header = Buffer.alloc(512)
  const octal = (value: number, at: number, length: number) =>
    header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1')
  const type = entry.type ?? 'file'
  header.write(entry.name, 0, 100)
  octal(entry.mode ?? (type === 'directory' ? 0o755 : 0o644), 100, 8)
  octal(entry.uid ?? 0, 108, 8)
  octal(0, 116, 8)
  octal(content.length, 124, 12)
  octal(0, 136, 12)
  header.write('        ', 148)
  header.write(TYPES[type], 156)
  header.write(entry.target ?? '', 157, 100)
  header.write('ustar\x0000', 257, 'latin1')
  octal(entry.device?.[0] ?? 0, 329, 8)
  octal(entry.device?.[1] ?? 0, 337, 8)
  header.write(
    `${[...header]
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  )
  return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]
}

/** Puts the one image of a layout into an index of its own, for that platform, beside one for none. */
export async function nestIndex(folder: string, platform: Readonly<Record<string, string>>): Promise<void> {
  const file = join(folder, 'index.json')
  const { manifests } = JSON.parse(await readFile(file, 'utf8')) as { manifests: [{ digest: string }] }
  let [image] = manifests
  const nested = join(folder, 'blobs', ...image.digest.split(':'))
  const before = JSON.parse(await readFile(nested, 'utf8')) as { manifests?: [{ digest: string }] }
  // Nested already: the same image under another platform.
  if (before.manifests !== undefined) [image] = before.manifests
  const mediaType = 'application/vnd.oci.image.index.v1+json'
  const unknown = { os: 'unknown', architecture: 'unknown' }
  const index = JSON.stringify({
    schemaVersion: 2,
    mediaType,
    manifests: [
      { ...image, platform },
      { ...image, platform: unknown },
    ],
  })
  const hex = createHash('sha256').update(index).digest('hex')
  await writeFile(join(folder, 'blobs', 'sha256', hex), index)
  const entry = { mediaType, digest: `sha256:${hex}`, size: Buffer.byteLength(index) }
  await writeFile(file, JSON.stringify({ schemaVersion: 2, manifests: [entry] }))
}
