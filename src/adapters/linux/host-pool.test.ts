// On a host whose own file system has reflinks the pool is that file system: no file in a file. The same promises hold.
import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { leftovers, testShortId, whyNoSandboxes } from '../../../test/support/host.ts'
import { testImage } from '../../../test/support/image.ts'
import { lacking, titled } from '../../../test/support/requirements.ts'
import { driverContract } from '../../core/driver.contract.ts'
import type { UnpackedImage } from '../../core/driver.ts'
import { systemClock } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import { mustRun } from '../../lib/run-process.ts'
import { createLinuxDriver } from './driver.ts'

const GROWS = 'a disk grows while its sandbox runs'

describe.each([
  ['xfs', ['mkfs.xfs', '-q', '-m', 'reflink=1']],
  ['btrfs', ['mkfs.btrfs', '-q']],
] as const)('a pool on %s', (type, format) => {
  const why = whyNoSandboxes() ?? lacking({ programs: [format[0]] })
  describe.skipIf(why !== undefined)(titled(type, why), () => {
    const shortId = testShortId()
    let folder: string
    let dir: string
    let image: UnpackedImage
    const open = () => createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog })

    beforeAll(async () => {
      folder = await mkdtemp('/var/tmp/bothy-pool-')
      await chmod(folder, 0o755)
      dir = join(folder, 'host')
      await mkdir(dir)
      const file = join(folder, 'host.img')
      await mustRun(['truncate', '--size', '8G', file])
      await mustRun([...format, file])
      await mustRun(['mount', '-o', 'loop', file, dir])
      image = await testImage()
    }, 300_000)
    afterAll(async () => {
      const driver = open()
      await driver.prepare(AbortSignal.timeout(30_000))
      await driver.teardown()
      expect(leftovers(shortId)).toEqual([])
      await mustRun(['umount', dir])
      await rm(folder, { recursive: true })
    })

    test('is the file system itself', async () => {
      const driver = open()
      await driver.prepare(AbortSignal.timeout(30_000))
      expect(driver.poolDir).toBe(dir)
      expect(existsSync(join(dir, 'pool.xfs'))).toBe(false)
      await driver.close()
    })

    // Tried by driver.test.ts, where it can be.
    driverContract(
      type,
      async () => {
        const driver = open()
        return { driver, image, close: () => driver.close() }
      },
      { [GROWS]: 'needs CAP_SYS_RESOURCE' },
    )
  })
})
