import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createImageStore, type ImageStoreOptions } from '../../src/adapters/oci-images/image-store.ts'
import { parseImageReference } from '../../src/api/image-reference.ts'
import type { UnpackedImage } from '../../src/core/driver.ts'
import type { ImageStore } from '../../src/core/images.ts'
import type { Fault } from '../../src/lib/fault.ts'
import { silentLog } from '../../src/lib/log.ts'
import { type LayoutOptions, writeLayout } from './oci-layout.ts'
import { startRegistry, type TestRegistry } from './registry.ts'
import { lacking } from './requirements.ts'

/** Why image stores cannot be tested here, or undefined. */
export function whyNoImages(): string | undefined {
  return lacking({ root: true, programs: ['skopeo', 'umoci', 'docker-registry', 'flock'] })
}

export const never = new AbortController().signal

export const hello: LayoutOptions = {
  layers: [[{ name: 'hello', content: 'hello' }]],
  config: { Env: ['A=b', 'PATH=/bin'], User: '1000:1000', WorkingDir: '/srv' },
}

export interface OpenStore {
  readonly dir: string
  readonly store: ImageStore
  ensure(text: string, onProgress?: (message: string) => void, signal?: AbortSignal): Promise<UnpackedImage>
}

/** A registry, a folder of archives, and image stores over fresh folders. */
export interface ImageBench {
  readonly folder: string
  readonly archives: string
  readonly registry: TestRegistry
  /** A store that knows the registry; over a new folder unless `dir` names one. */
  open(options?: Partial<ImageStoreOptions>): OpenStore
  /** Writes an image as an OCI layout. */
  layout(options: LayoutOptions): Promise<{ path: string; digest: string }>
  /** Puts an image into the registry. */
  push(
    name: string,
    options?: LayoutOptions,
    more?: readonly string[],
  ): Promise<{ path: string; digest: string; reference: string }>
  close(): Promise<void>
}

export async function openImageBench(): Promise<ImageBench> {
  const folder = await mkdtemp(join(tmpdir(), 'bothy-images-'))
  const archives = join(folder, 'archives')
  await mkdir(archives)
  const registry = await startRegistry(folder)
  let serial = 0
  const layout = async (options: LayoutOptions) => {
    const path = join(folder, `layout-${++serial}`)
    return { path, digest: await writeLayout(path, options) }
  }
  return {
    folder,
    archives,
    registry,
    layout,
    open(options = {}) {
      const dir = options.dir ?? join(folder, `store-${++serial}`)
      const registries = { insecure: [registry.host] }
      const store = createImageStore({ archivesDir: archives, registries, log: silentLog, ...options, dir })
      return {
        dir,
        store,
        ensure: (text, onProgress = () => undefined, signal = never) =>
          store.ensure(parseImageReference(text), onProgress, signal),
      }
    },
    async push(name, options = hello, more = []) {
      const made = await layout(options)
      await registry.push(`oci:${made.path}`, name, more)
      return { ...made, reference: `${registry.host}/${name}` }
    },
    async close() {
      await registry.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** What of a fault the tables of tests compare. */
export async function faultOf(
  promise: Promise<unknown>,
): Promise<{ reason: string; code: string; hinted: boolean }> {
  return promise.then(
    () => {
      throw new Error('no fault was raised')
    },
    (fault: Fault) => ({ reason: fault.reason, code: fault.code, hinted: fault.hint !== undefined }),
  )
}
