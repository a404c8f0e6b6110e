// After a crash, a reboot, or somebody's hand: what was kept comes back, and what belongs to nobody goes.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { isAlive } from '../../../test/fault/processes.ts'
import { leftovers, testShortId, whyNoSandboxes } from '../../../test/support/host.ts'
import { testImage } from '../../../test/support/image.ts'
import { titled } from '../../../test/support/requirements.ts'
import type { Sandbox, UnpackedImage } from '../../core/driver.ts'
import { say } from '../../core/driver-disks.contract.ts'
import { systemClock } from '../../lib/clock.ts'
import { uuidv7 } from '../../lib/ids.ts'
import { silentLog } from '../../lib/log.ts'
import { mustRun } from '../../lib/run-process.ts'
import { type Cgroups, delegateCgroup, detectCgroups, processesIn } from './cgroups.ts'
import { createLinuxDriver, type LinuxDriver } from './driver.ts'
import { mountsBelow } from './host-leftovers.ts'
import { cgroupPath, diskImage, type Layout, layoutOf, runtimePaths, SLOTS, templatesDir } from './layout.ts'
import { sendSignal } from './signals.ts'

test('mounts are taken back from the last to the first, and only those below', () => {
  const line = (target: string) => `36 35 0:50 / ${target} rw shared:1 - tmpfs none rw`
  const mountinfo = ['/run', '/run/b', '/run/b/a', '/run/b/a/c\\040d', '/run/bc'].map(line).join('\n')
  expect(mountsBelow(mountinfo, '/run/b')).toEqual(['/run/b/a/c d', '/run/b/a'])
})

const why = whyNoSandboxes()
describe.skipIf(why !== undefined)(titled('on a host', why), () => {
  const shortId = testShortId()
  const signal = () => AbortSignal.timeout(60_000)
  let dir: string
  let image: UnpackedImage
  let driver: LinuxDriver
  let layout: Layout
  let cgroups: Cgroups

  const open = async () => {
    driver = createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog })
    await driver.prepare(signal())
    layout = layoutOf(shortId, driver.poolDir)
  }
  const start = async (id: string, epoch: number): Promise<Sandbox> => {
    await driver.ensureDisk(id, 2 ** 28, signal())
    const limits = { memoryBytes: 2 ** 29, pids: 512 }
    return driver.ensure({ id, name: 'calm-otter', epoch, image, env: {}, ...limits }, signal())
  }
  const keepers = () => processesIn(cgroups, cgroupPath(layout, 'keepers'))
  const killAll = async (pids: readonly number[]) => {
    for (const pid of pids) sendSignal(pid, 'SIGKILL')
    await expect.poll(() => pids.filter(isAlive), { timeout: 10_000 }).toEqual([])
  }
  /** Loop devices on disks of this runner. */
  const loops = () =>
    readdirSync('/sys/block').filter(name => {
      const file = join('/sys/block', name, 'loop/backing_file')
      return existsSync(file) && readFileSync(file, 'utf8').startsWith(join(layout.pool, 'environments'))
    })
  const groups = () =>
    [...cgroups.v1, ...(cgroups.unified === undefined ? [] : [cgroups.unified])].flatMap(root => {
      const path = join(root, cgroupPath(layout, ''))
      return existsSync(path) ? readdirSync(path).filter(name => /^(job-)?[0-9a-f-]{36}$/.test(name)) : []
    })
  const forgetRun = async () => {
    await rm(join('/run/bothy', shortId), { recursive: true })
    for (const name of await readdir(SLOTS)) {
      const slot = join(SLOTS, name)
      if (readFileSync(slot, 'utf8').startsWith(`${shortId}/`)) await rm(slot)
    }
  }

  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/bothy-left-')
    image = await testImage()
    cgroups = await detectCgroups()
    await open()
  }, 300_000)
  afterEach(async () => {
    for (const id of await driver.list()) await driver.destroy(id)
  })
  afterAll(async () => {
    await driver.teardown()
    await rm(dir, { recursive: true, force: true })
    expect(leftovers(shortId)).toEqual([])
  })

  test.each([
    ['a reboot', true],
    ['the loss of /run under what still runs', false],
  ])('after %s everything comes back, and nothing else', { timeout: 60_000 }, async (_, ends) => {
    const ids = [uuidv7(), uuidv7()]
    for (const id of ids) await say(await start(id, 1), `echo ${id} >/workspaces/mark; sync`, signal())
    const inits = (await Promise.all(ids.map(id => processesIn(cgroups, cgroupPath(layout, id))))).flat()
    await driver.close()
    await killAll(await keepers())
    if (ends) await killAll(inits)
    await forgetRun()
    if (ends) {
      // The kernel ends the mounts after the processes.
      await expect.poll(loops, { timeout: 10_000 }).toEqual([])
      await mustRun(['umount', join(dir, 'pool')])
      await mustRun(['nft', 'delete', 'table', 'inet', `bothy_${shortId}`])
    }
    await open()
    expect([groups(), await driver.list()]).toEqual([[], expect.arrayContaining(ids)])
    for (const id of ids) {
      expect(await driver.find(id)).toBeUndefined()
      expect(await say(await start(id, 2), 'cat /workspaces/mark', signal())).toBe(`${id}\n`)
    }
    expect(loops()).toHaveLength(2)
  })

  test('what somebody shows in the folder of a sandbox stays when that one ends', async () => {
    const id = uuidv7()
    const sandbox = await start(id, 1)
    const kept = join(dir, 'shown')
    await mkdir(kept)
    await writeFile(join(kept, 'file'), 'kept')
    await mustRun(['mount', '--bind', kept, runtimePaths(layout, id).shifted])
    await sandbox.stop(0)
    expect(existsSync(runtimePaths(layout, id).dir)).toBe(false)
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(id)
    expect(readFileSync(join(kept, 'file'), 'utf8')).toBe('kept')
  })

  test('templates of disks of all sizes do not pile up', async () => {
    const sizes = Array.from({ length: 12 }, (_, at) => 2 ** 25 + at * 4096)
    for (const size of sizes) await driver.ensureDisk(uuidv7(), size, signal())
    const templates = await readdir(templatesDir(layout))
    expect(templates).toHaveLength(8)
    // The latest are there, and all disks are what they were to be.
    expect(templates).toContain(`ext4-${sizes.at(-1)}.img`)
    expect(
      await Promise.all((await driver.list()).map(async id => (await driver.findDisk(id))?.sizeBytes)),
    ).toEqual(expect.arrayContaining(sizes))
  })

  test('what belongs to nobody goes, and takes nothing with it', { timeout: 60_000 }, async () => {
    const id = uuidv7()
    const gone = uuidv7()
    await driver.ensureDisk(id, 2 ** 28, signal())
    const disk = diskImage(layout, id)
    // A loop device that nobody has mounted, and that would not go by itself.
    const device = (await mustRun(['losetup', '--find', '--show', disk])).trim()
    expect(loops()).toEqual([device.replace('/dev/', '')])
    // The groups of a sandbox and of a job, neither of which is there.
    for (const leaf of [gone, `job-${gone}`]) await delegateCgroup(cgroups, cgroupPath(layout, leaf), 65534)
    expect(groups()).toContain(`job-${gone}`)
    // Somebody's data, seen in the folder of a sandbox that is gone.
    const kept = join(dir, 'kept')
    await mkdir(kept)
    await writeFile(join(kept, 'file'), 'kept')
    const seen = runtimePaths(layout, gone).disk
    await mkdir(seen, { recursive: true })
    await mustRun(['mount', '--bind', kept, seen])
    // Halves: of a disk, of a template, of a disk that has no whole.
    const halves = [
      `${disk}.abcd2345.new`,
      join(templatesDir(layout), 'ext4-1.img.4711'),
      `${diskImage(layout, gone)}.abcd2345.new`,
    ]
    await mkdir(join(layout.pool, 'environments', gone))
    for (const half of halves) await writeFile(half, 'half')

    await driver.close()
    await open()
    expect([loops(), groups(), halves.filter(existsSync)]).toEqual([[], [], []])
    expect(existsSync(runtimePaths(layout, gone).dir)).toBe(false)
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(gone)
    expect(readFileSync(join(kept, 'file'), 'utf8')).toBe('kept')
    expect(existsSync(disk)).toBe(true)
    await start(id, 1)
  })
})
