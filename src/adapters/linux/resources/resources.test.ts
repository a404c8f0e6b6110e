import { mkdtemp, rm } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { leftovers, testShortId, whyNoSandboxes } from '../../../../test/support/host.ts'
import { testImage } from '../../../../test/support/image.ts'
import { titled } from '../../../../test/support/requirements.ts'
import type { Sandbox } from '../../../core/driver.ts'
import type { HostResources } from '../../../core/governor/host-resources.ts'
import { systemClock } from '../../../lib/clock.ts'
import { uuidv7 } from '../../../lib/ids.ts'
import { silentLog } from '../../../lib/log.ts'
import { createLinuxDriver, type LinuxDriver } from '../driver.ts'

const why = whyNoSandboxes()

describe.skipIf(why !== undefined)(titled("a host's resources", why), () => {
  const shortId = testShortId()
  const signal = () => AbortSignal.timeout(60_000)
  let dir: string
  let driver: LinuxDriver
  let sandbox: Sandbox
  let resources: HostResources

  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/bothy-resources-')
    const image = await testImage()
    driver = createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog })
    await driver.prepare(signal())
    const id = uuidv7()
    await driver.ensureDisk(id, 2 ** 30, signal())
    const limits = { memoryBytes: 2 ** 30, pids: 512 }
    sandbox = await driver.ensure({ id, name: 'calm-otter', epoch: 1, image, env: {}, ...limits }, signal())
    resources = await driver.openResources()
  }, 300_000)
  afterAll(async () => {
    await driver.teardown()
    await rm(dir, { recursive: true, force: true })
    expect(leftovers(shortId)).toEqual([])
  })

  const run = async (script: string): Promise<string> => {
    const stream = await sandbox.exec({ argv: ['/bin/sh', '-c', script] }, signal())
    stream.stdin.end()
    stream.stderr?.resume()
    return (await text(stream.stdout)).trim()
  }
  const look = async () => {
    const { environments, ...host } = await resources.sense()
    const environment = environments.get(sandbox.id)
    if (environment === undefined) throw new Error('it is not seen')
    return { host, environment }
  }

  test('are seen, with what an environment uses', async () => {
    const before = await look()
    expect(before.environment).toMatchObject({
      memory: { limitBytes: 2 ** 30, oomKills: 0 },
      isFrozen: false,
    })
    expect(before.environment.processes).toBeGreaterThan(0)
    await run('i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done')
    const after = await look()
    expect(after.environment.cpu.usageUs - before.environment.cpu.usageUs).toBeGreaterThan(20_000)
    expect(after.host.busyUs).toBeGreaterThan(before.host.busyUs)
    expect(after.host.memory.availableBytes).toBeGreaterThan(0)
    if (resources.abilities.pressure)
      expect(after.environment.pressure?.cpu?.someUs).toBeGreaterThanOrEqual(0)
  })

  test('freeze an environment and let it go', async () => {
    await resources.act({ kind: 'freeze', id: sandbox.id, frozen: true, reason: 'idle' }, signal())
    await vi.waitFor(async () => expect((await look()).environment.isFrozen).toBe(true))
    await resources.act({ kind: 'freeze', id: sandbox.id, frozen: false, reason: 'idle' }, signal())
    await vi.waitFor(async () => expect((await look()).environment.isFrozen).toBe(false))
  })

  test('undo everything at once', async () => {
    await resources.act({ kind: 'freeze', id: sandbox.id, frozen: true, reason: 'idle' }, signal())
    await vi.waitFor(async () => expect((await look()).environment.isFrozen).toBe(true))
    await resources.release()
    await vi.waitFor(async () => expect((await look()).environment.isFrozen).toBe(false))
  })
})
