import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createImageStore } from '../../src/adapters/oci-images/image-store.ts'
import type { UnpackedImage } from '../../src/core/driver.ts'
import { silentLog } from '../../src/lib/log.ts'

/** Where tests keep what is dear to make, outside the checkout. */
export function testCacheDir(): string {
  return process.env['BOTHY_TEST_CACHE'] ?? '/var/cache/bothy/test'
}

/** The host's own release, which its package mirror has. */
export async function hostSuite(): Promise<string> {
  const osRelease = await readFile('/etc/os-release', 'utf8')
  return /^VERSION_CODENAME=(\w+)/m.exec(osRelease)?.[1] ?? 'bookworm'
}

/**
 * The image that suites run environments from: a bootstrap of the host's own release, made once per recipe (about
 * 25 s) and found from then on. Needs root, mmdebstrap and, the first time, the host's package mirror.
 */
export async function testImage(
  onProgress: (message: string) => void = () => undefined,
  signal: AbortSignal = new AbortController().signal,
): Promise<UnpackedImage> {
  const suite = await hostSuite()
  const store = createImageStore({
    dir: join(testCacheDir(), 'images'),
    archivesDir: join(testCacheDir(), 'archives'),
    log: silentLog,
  })
  return store.ensure({ kind: 'bootstrap', suite }, onProgress, signal)
}
