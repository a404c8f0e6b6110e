import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { leftovers, testShortId, whyNoSandboxes } from '../../../../test/support/host.ts'
import { testImage } from '../../../../test/support/image.ts'
import { titled } from '../../../../test/support/requirements.ts'
import type { Sandbox } from '../../../core/driver.ts'
import type { IoLimits } from '../../../core/governor/act.ts'
import type { HostResources } from '../../../core/governor/host-resources.ts'
import { systemClock } from '../../../lib/clock.ts'
import { uuidv7 } from '../../../lib/ids.ts'
import { silentLog } from '../../../lib/log.ts'
import { detectCgroups, hierarchyOf } from '../cgroups.ts'
import { createLinuxDriver, type LinuxDriver } from '../driver.ts'
import { diskImage, layoutOf } from '../layout.ts'
import { findLoopDevice, isSameFile, parseBlockStat } from './loop-device.ts'

const MIB = 2 ** 20

test('counters of a block device are bytes and microseconds', () => {
  const old = '     120       3     4096      20     7      9    65536       3        0      40       23'
  const known = { readBytes: 4096 * 512, writtenBytes: 65536 * 512, busyUs: 40_000 }
  expect(parseBlockStat(old)).toEqual({ ...known, operations: 127, operationsUs: 23_000 })
  // Discards (four numbers), then flushes (two).
  expect(parseBlockStat(`${old} 9 9 9 9 5 50`)).toEqual({ ...known, operations: 132, operationsUs: 73_000 })
})

test('a file is known by its folder, however the kernel shows the way there', () => {
  const image = '/var/lib/bothy/pool/environments/u1/disk.img'
  expect(isSameFile(`${image}\n`, image)).toBe(true)
  expect(isSameFile('/pool/environments/u1/disk.img', image)).toBe(true)
  expect(isSameFile('/pool/environments/u2/disk.img', image)).toBe(false)
  expect(isSameFile('/pool/snapshots/u1/disk.img', image)).toBe(false)
  expect(isSameFile(`${image} (deleted)`, image)).toBe(false)
  expect(isSameFile('', image)).toBe(false)
})

const why = whyNoSandboxes()

describe.skipIf(why !== undefined)(titled('limits of disks', why), () => {
  const shortId = testShortId()
  const signal = () => AbortSignal.timeout(60_000)
  let dir: string
  let driver: LinuxDriver
  let slow: Sandbox
  let free: Sandbox
  let resources: HostResources

  const start = async (name: string) => {
    const image = await testImage()
    const id = uuidv7()
    await driver.ensureDisk(id, 2 ** 30, signal())
    return driver.ensure({ id, name, epoch: 1, image, env: {}, memoryBytes: 2 ** 30, pids: 512 }, signal())
  }
  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/bothy-io-')
    driver = createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog })
    await driver.prepare(signal())
    slow = await start('slow')
    free = await start('free')
    resources = await driver.openResources()
  }, 300_000)
  afterAll(async () => {
    await driver.teardown()
    await rm(dir, { recursive: true, force: true })
    expect(leftovers(shortId)).toEqual([])
  })

  const run = async (sandbox: Sandbox, script: string): Promise<string> => {
    const stream = await sandbox.exec({ argv: ['/bin/sh', '-c', script] }, signal())
    stream.stdin.end()
    stream.stderr?.resume()
    return (await text(stream.stdout)).trim()
  }
  const limit = (sandbox: Sandbox, limits: IoLimits) =>
    resources.act({ kind: 'io', id: sandbox.id, limits }, signal())
  const deviceOf = ({ id }: Sandbox) => {
    const device = findLoopDevice(diskImage(layoutOf(shortId, driver.poolDir), id))
    if (device === undefined) throw new Error(`${id} has no device`)
    return device
  }
  /** Whatever the kernel holds the device to. */
  const entriesOf = async ({ number }: { number: string }, { id }: Sandbox): Promise<string[]> => {
    const cgroups = await detectCgroups()
    const files =
      cgroups.mode === 'v2'
        ? [`${cgroups.unified}/bothy-${shortId}/${id}/io.max`]
        : ['read', 'write'].map(each => `${hierarchyOf(cgroups, 'blkio')}/blkio.throttle.${each}_bps_device`)
    return files
      .flatMap(file => readFileSync(file, 'utf8').split('\n'))
      .filter(line => line.startsWith(`${number} `))
  }
  /** Seconds until so many MiB, written through the page cache, are on the disk. */
  const writeMs = async (sandbox: Sandbox, mib: number) => {
    const sinceMs = performance.now()
    const said = await run(
      sandbox,
      `dd if=/dev/zero of=/workspaces/f bs=1M count=${mib} conv=fsync 2>&1 && echo done`,
    )
    expect(said).toMatch(/done$/)
    return performance.now() - sinceMs
  }

  test('what it writes and what comes to it is counted', async () => {
    const look = async () => (await resources.sense()).environments.get(free.id)
    const before = await look()
    await writeMs(free, 8)
    await vi.waitFor(
      async () => {
        const after = await look()
        const written = (after?.io?.writtenBytes ?? 0) - (before?.io?.writtenBytes ?? 0)
        expect(written).toBeGreaterThanOrEqual(8 * MIB)
        expect(written).toBeLessThan(64 * MIB)
      },
      { timeout: 10_000, interval: 200 },
    )
    // The host's address is out of reach; what asks for it has left nevertheless.
    await run(
      free,
      'timeout 1 sh -c "echo > /dev/tcp/198.18.0.1/9" || bash -c "echo x > /dev/udp/192.0.2.1/9"',
    )
    await vi.waitFor(
      async () => {
        const sent = ((await look())?.network?.sentBytes ?? 0) - (before?.network?.sentBytes ?? 0)
        expect(sent).toBeGreaterThan(0)
      },
      { timeout: 10_000, interval: 200 },
    )
  })

  test('processes that its ceiling refuses are counted', async () => {
    const look = async () => (await resources.sense()).environments.get(free.id)
    expect((await look())?.processesRefused).toBe(0)
    // More than 512: a shell says so, and ends; the others end by themselves.
    await run(free, 'i=0; while [ $i -lt 600 ]; do sleep 2 & i=$((i+1)); done')
    const patience = { timeout: 20_000, interval: 200 }
    await vi.waitFor(async () => expect((await look())?.processesRefused).toBeGreaterThan(0), patience)
    await vi.waitFor(async () => expect((await look())?.processes).toBeLessThan(100), patience)
  })

  test('buffered writes are held too, and those of others are not', async context => {
    if (!resources.abilities.ioLimits) context.skip('the kernel has no limits of IO')
    await limit(slow, { writeBytesPerSecond: 10 * MIB })
    const [slowMs, freeMs] = [await writeMs(slow, 30), await writeMs(free, 30)]
    expect(slowMs).toBeGreaterThan(2_000)
    expect(freeMs).toBeLessThan(slowMs / 2)
    await limit(slow, {})
    expect(await writeMs(slow, 30)).toBeLessThan(slowMs / 2)
    expect(await entriesOf(deviceOf(slow), slow)).toEqual([])
  })

  test('each goes when it is let go, all when nobody governs any more', async context => {
    if (!resources.abilities.ioLimits) context.skip('the kernel has no limits of IO')
    const devices = [deviceOf(slow), deviceOf(free)] as const
    const all = async () => [...(await entriesOf(devices[0], slow)), ...(await entriesOf(devices[1], free))]
    await limit(slow, { writeBytesPerSecond: 10 * MIB, readBytesPerSecond: 20 * MIB })
    await limit(free, { writeBytesPerSecond: 30 * MIB })
    expect((await all()).join(' ')).toMatch(/10485760/)
    expect((await all()).join(' ')).toMatch(/31457280/)
    await resources.release()
    expect(await all()).toEqual([])
  })

  test('a device that was let go is free for the next one', async context => {
    if (!resources.abilities.ioLimits) context.skip('the kernel has no limits of IO')
    const gone = await start('gone')
    const device = deviceOf(gone)
    await limit(gone, { readBytesPerSecond: 10 * MIB })
    expect(await entriesOf(device, gone)).toHaveLength(1)
    await gone.stop(0)
    await driver.destroy(gone.id)
    await vi.waitFor(async () => {
      await resources.sense()
      const cgroups = await detectCgroups()
      if (cgroups.mode !== 'v2') expect(await entriesOf(device, gone)).toEqual([])
    })
    await limit(gone, { readBytesPerSecond: 10 * MIB })
  })
})
