import { mkdtemp, rm } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from 'vitest'
import { leftovers, testShortId, whyNoSandboxes } from '../../../../test/support/host.ts'
import { testImage } from '../../../../test/support/image.ts'
import { titled } from '../../../../test/support/requirements.ts'
import type { Sandbox } from '../../../core/driver.ts'
import { hostResourcesContract } from '../../../core/governor/host-resources.contract.ts'
import type { HostResources } from '../../../core/governor/host-resources.ts'
import { systemClock } from '../../../lib/clock.ts'
import { uuidv7 } from '../../../lib/ids.ts'
import { silentLog } from '../../../lib/log.ts'
import { createLinuxDriver, type LinuxDriver } from '../driver.ts'

const why = whyNoSandboxes()

describe.skipIf(why !== undefined)(titled('a Linux host', why), () => {
  const shortId = testShortId()
  const signal = () => AbortSignal.timeout(60_000)
  let dir: string
  let driver: LinuxDriver
  let resources: HostResources
  let sandbox: Sandbox

  const make = async (): Promise<Sandbox> => {
    const id = uuidv7()
    const image = await testImage()
    await driver.ensureDisk(id, 2 ** 30, signal())
    const limits = { memoryBytes: 2 ** 30, pids: 512 }
    return driver.ensure({ id, name: 'calm-otter', epoch: 1, image, env: {}, ...limits }, signal())
  }
  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/bothy-contract-')
    driver = createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog })
    await driver.prepare(signal())
    resources = await driver.openResources()
  }, 300_000)
  afterAll(async () => {
    await driver.teardown()
    await rm(dir, { recursive: true, force: true })
    expect(leftovers(shortId)).toEqual([])
  })
  beforeEach(async () => {
    sandbox = await make()
  })
  afterEach(() => driver.destroy(sandbox.id))

  hostResourcesContract('a Linux host', {
    resources: () => resources,
    sandbox: () => sandbox,
    gone: async () => {
      const { id } = await make()
      await driver.destroy(id)
      return id
    },
  })
})
