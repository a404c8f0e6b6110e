// Isolation `gvisor`: the contracts of the driver and of exec, and what only it promises.
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { leftovers, mayResize, testShortId, whyNoSandboxes } from '../../../test/support/host.ts'
import { testImage } from '../../../test/support/image.ts'
import { lacking, titled } from '../../../test/support/requirements.ts'
import { type DriverPromise, driverContract } from '../../core/driver.contract.ts'
import type { Sandbox, UnpackedImage } from '../../core/driver.ts'
import { execContract } from '../../core/exec.contract.ts'
import { systemClock } from '../../lib/clock.ts'
import { uuidv7 } from '../../lib/ids.ts'
import { silentLog } from '../../lib/log.ts'
import { createLinuxDriver, type LinuxDriver } from './driver.ts'

const reason = whyNoSandboxes() ?? lacking({ programs: ['runsc'] })

/** Promises that gVisor, or this host, cannot keep. */
const DRIVER_SKIPS: Partial<Record<DriverPromise, string>> = mayResize()
  ? {}
  : { 'a disk grows while its sandbox runs': 'no CAP_SYS_RESOURCE' }
const EXEC_SKIPS = {
  'a terminal is one: for the command, and with a single output':
    'its terminal is one of the host and has no name inside: tty(1) finds none',
}

describe.skipIf(reason !== undefined)(titled('linux with gVisor', reason), () => {
  const shortId = testShortId()
  let dir: string
  let image: UnpackedImage
  const open = () => createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog })
  const signal = () => AbortSignal.timeout(60_000)

  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/bothy-gvisor-')
    image = await testImage()
  }, 300_000)

  afterAll(async () => {
    const driver = open()
    await driver.prepare(signal())
    for (const id of await driver.list()) await driver.destroy(id)
    await driver.teardown()
    await rm(dir, { recursive: true, force: true })
    expect(leftovers(shortId)).toEqual([])
  }, 60_000)

  driverContract(
    'linux with gVisor',
    async () => {
      const driver = open()
      return { driver, image, spec: { isolation: 'gvisor' }, close: () => driver.close() }
    },
    DRIVER_SKIPS,
  )

  describe('a sandbox', () => {
    let driver: LinuxDriver
    let sandbox: Sandbox
    const sh = async (script: string, user = 'root') => {
      const stream = await sandbox.exec({ argv: ['/bin/sh', '-c', script], user }, signal())
      stream.stdin.end()
      const [out] = await Promise.all([text(stream.stdout), text(stream.stderr!), stream.exit])
      return out.trim()
    }

    beforeAll(async () => {
      driver = open()
      await driver.prepare(signal())
      const id = uuidv7()
      await driver.ensureDisk(id, 2 ** 30, signal())
      const limits = { memoryBytes: 2 ** 30, pids: 512 }
      const spec = {
        id,
        name: 'calm-otter',
        epoch: 1,
        image,
        env: {},
        isolation: 'gvisor',
        ...limits,
      } as const
      sandbox = await driver.ensure(spec, signal())
    }, 120_000)

    afterAll(async () => {
      await driver.destroy(sandbox.id)
      await driver.close()
    })

    execContract('linux with gVisor', async () => sandbox.exec, { skips: EXEC_SKIPS })

    test('is the root of nothing on the host', async () => {
      const procs =
        readFileSync('/proc/self/mountinfo', 'utf8').match(/ (\S*\/pids|\S*cgroup|\S*unified) /g) ?? []
      const files = procs
        .map(each => `${each.trim()}/bothy-${shortId}/${sandbox.id}/cgroup.procs`)
        .filter(existsSync)
      const pids = files.flatMap(file => readFileSync(file, 'utf8').split('\n')).filter(each => each !== '')
      const ids = pids.map(pid =>
        Number(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]),
      )
      expect(ids.length).toBeGreaterThanOrEqual(2)
      expect(ids.every(id => id === 65_534 || id >= 1_879_048_192)).toBe(true)
    })

    test('runs as a named user, looked up inside', async () => {
      await sh('getent passwd dev || useradd -m dev')
      expect(await sh('id -un; echo $HOME', 'dev')).toBe('dev\n/home/dev')
      await expect(sh('true', 'nobody-such')).rejects.toMatchObject({ code: 'user-unknown' })
    })

    test('is given no device of the host, not even /dev/null', async () => {
      await sh('true')
      expect((await stat('/dev/null')).uid).toBe(0)
    })

    test('runs on another kernel', async () => {
      expect(await sh('dmesg')).toContain('gVisor')
    })
  })
})
