// Images' layers are mounted with shifted ids, which overlayfs (the root of most containers) cannot do. There the cache
// lies in a file system of its own, as a runner's images do.
import { existsSync } from 'node:fs'
import { mkdir, statfs } from 'node:fs/promises'
import { closePool, preparePool } from '../../src/adapters/linux/pool.ts'
import { whyNoSandboxes } from './host.ts'
import { testCacheDir } from './image.ts'

// From linux/magic.h.
const OVERLAYFS_MAGIC = 0x794c7630

/** Moves the cache for this run if it must; the result gives the mount back. */
export async function prepareCachePool(): Promise<() => Promise<void>> {
  const nothing = async (): Promise<void> => undefined
  if (whyNoSandboxes() !== undefined || process.env['BOTHY_TEST_CACHE'] !== undefined) return nothing
  const dir = `${testCacheDir()}-pool`
  await mkdir(testCacheDir(), { recursive: true })
  if ((await statfs(testCacheDir())).type !== OVERLAYFS_MAGIC) return nothing
  process.env['BOTHY_TEST_CACHE'] = (await preparePool(dir, 'auto')).pool
  return async () => {
    delete process.env['BOTHY_TEST_CACHE']
    if (existsSync(dir)) await closePool(dir)
  }
}
