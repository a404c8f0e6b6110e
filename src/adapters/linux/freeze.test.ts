// A disk that is frozen thaws: in time, whoever is killed, and whatever is still to be done.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { leftovers, testShortId, whyNoSandboxes } from '../../../test/support/host.ts'
import { testImage } from '../../../test/support/image.ts'
import { titled } from '../../../test/support/requirements.ts'
import type { Sandbox, UnpackedImage } from '../../core/driver.ts'
import { systemClock } from '../../lib/clock.ts'
import { uuidv7 } from '../../lib/ids.ts'
import { silentLog } from '../../lib/log.ts'
import { mustRun } from '../../lib/run-process.ts'
import { createLinuxDriver, type LinuxDriver } from './driver.ts'
import { trimDisk, whileFrozen } from './keeper-request.ts'
import { layoutOf, runtimePaths } from './layout.ts'

const why = whyNoSandboxes()

describe.skipIf(why !== undefined)(titled('a frozen disk', why), () => {
  const shortId = testShortId()
  const signal = () => AbortSignal.timeout(30_000)
  let dir: string
  let image: UnpackedImage
  let driver: LinuxDriver
  let sandbox: Sandbox
  let socket: string

  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/bothy-freeze-')
    image = await testImage()
    driver = createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog })
    await driver.prepare(signal())
  }, 300_000)
  afterAll(async () => {
    await driver.teardown()
    await rm(dir, { recursive: true, force: true })
    expect(leftovers(shortId)).toEqual([])
  })
  beforeEach(async () => {
    const id = uuidv7()
    await driver.ensureDisk(id, 2 ** 30, signal())
    const limits = { memoryBytes: 2 ** 30, pids: 512 }
    sandbox = await driver.ensure({ id, name: 'calm-otter', epoch: 1, image, env: {}, ...limits }, signal())
    socket = runtimePaths(layoutOf(shortId, driver.poolDir), id).socket
  })
  afterEach(() => driver.destroy(sandbox.id))

  const run = async (script: string) => {
    const stream = await sandbox.exec({ argv: ['/bin/sh', '-c', script] }, signal())
    stream.stdin.end()
    stream.stderr?.resume()
    return text(stream.stdout)
  }
  /** Resolves once something was written that the kernel would not take while the disk is frozen. */
  const write = () => run('echo x > /workspaces/written; sync; echo done')
  const isFrozen = async (writing: Promise<string>) =>
    (await Promise.race([writing, systemClock.sleep(300).then(() => 'waits')])) === 'waits'
  const pidOf = (name: string): number => {
    for (const pid of readdirSync('/proc').filter(each => /^\d+$/.test(each))) {
      try {
        // Descendants of our keeper, and of no other runner's.
        const cgroup = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
        if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(name) && cgroup.includes(shortId))
          return Number(pid)
      } catch {
        // Ended while we looked.
      }
    }
    throw new Error(`no process ${name}`)
  }

  test('holds writers up, and lets them go', async () => {
    let writing: Promise<string> | undefined
    const { pausedMs } = await whileFrozen(
      socket,
      async () => {
        writing = write()
        expect(await isFrozen(writing)).toBe(true)
      },
      systemClock,
      signal(),
    )
    expect(pausedMs).toBeGreaterThanOrEqual(300)
    expect(await writing).toBe('done\n')
  })

  test('thaws when its time is over, and says that it did', async () => {
    const late = whileFrozen(socket, () => write(), systemClock, signal(), 500)
    await expect(late).rejects.toMatchObject({ reason: 'unavailable', code: 'freeze-over' })
  })

  test('thaws when whoever asked for it fails', async () => {
    const failing = whileFrozen(socket, () => Promise.reject(new Error('copy failed')), systemClock, signal())
    await expect(failing).rejects.toThrow('copy failed')
    expect(await write()).toBe('done\n')
  })

  test.each([
    ['the keeper', () => `bothy-keeper ${sandbox.id}`],
    ['who froze it', () => 'bothy-freeze'],
  ])('thaws when %s is killed', async (_, name) => {
    const broken = whileFrozen(
      socket,
      async () => {
        const writing = write()
        expect(await isFrozen(writing)).toBe(true)
        process.kill(pidOf(name()), 'SIGKILL')
        expect(await writing).toBe('done\n')
      },
      systemClock,
      signal(),
    )
    await expect(broken).rejects.toMatchObject({ reason: 'unavailable' })
    expect(await write()).toBe('done\n')
  })

  test('stops, although it is frozen', async () => {
    const stopped = whileFrozen(socket, () => sandbox.stop(0), systemClock, signal(), 5_000)
    await stopped.catch(() => undefined) // The keeper went with its sandbox, before or after it could answer.
    expect(await driver.find(sandbox.id)).toBeUndefined()
    const limits = { memoryBytes: 2 ** 30, pids: 512 }
    sandbox = await driver.ensure(
      { id: sandbox.id, name: 'again', epoch: 2, image, env: {}, ...limits },
      signal(),
    )
    expect(await write()).toBe('done\n')
  })

  test('what is deleted inside is given back, by the pool to the host too', async () => {
    await run('dd if=/dev/zero of=/workspaces/big bs=1M count=500; sync')
    const used = async () => (await driver.findDisk(sandbox.id))!.usedBytes
    // A host that shares blocks itself has no file for its pool.
    const pool = join(dir, 'pool.xfs')
    const onHost = async () => (existsSync(pool) ? (await stat(pool)).blocks * 512 : undefined)
    // What is written so far reaches the pool's file within half a minute, or now.
    await mustRun(['sync', '-f', driver.poolDir])
    const [before, hostBefore] = [await used(), await onHost()]
    expect(before).toBeGreaterThan(500 * 2 ** 20)
    await run('rm /workspaces/big; sync')
    expect(await trimDisk(socket, systemClock, signal())).toBeGreaterThan(0)
    await vi.waitFor(async () => expect(await used()).toBeLessThan(before - 490 * 2 ** 20))
    if (hostBefore === undefined) return
    await mustRun(['sync', '-f', driver.poolDir])
    await vi.waitFor(async () => expect(await onHost()).toBeLessThan(hostBefore - 450 * 2 ** 20), 20_000)
  })
})
