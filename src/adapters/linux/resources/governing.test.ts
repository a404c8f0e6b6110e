// Acts upon a real environment, and what becomes of them when somebody inside, or the end of the runner, gets in the way.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { leftovers, testShortId, whyNoSandboxes } from '../../../../test/support/host.ts'
import { testImage } from '../../../../test/support/image.ts'
import { titled } from '../../../../test/support/requirements.ts'
import type { Sandbox, UnpackedImage } from '../../../core/driver.ts'
import type { CpuLimits } from '../../../core/governor/act.ts'
import type { HostResources } from '../../../core/governor/host-resources.ts'
import type { JobSample } from '../../../core/governor/sample.ts'
import { systemClock } from '../../../lib/clock.ts'
import { uuidv7 } from '../../../lib/ids.ts'
import { silentLog } from '../../../lib/log.ts'
import { type Cgroups, detectCgroups, hierarchyOf } from '../cgroups.ts'
import { createLinuxDriver, type LinuxDriver } from '../driver.ts'
import { whileFrozen } from '../keeper-request.ts'
import { cgroupPath, layoutOf, runtimePaths } from '../layout.ts'

const why = whyNoSandboxes()

describe.skipIf(why !== undefined)(titled('governing an environment', why), () => {
  const shortId = testShortId()
  const signal = () => AbortSignal.timeout(60_000)
  const soon = { timeout: 10_000, interval: 20 }
  let dir: string
  let image: UnpackedImage
  let cgroups: Cgroups
  let driver: LinuxDriver
  let sandbox: Sandbox
  let resources: HostResources

  const open = async () => {
    driver = createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog })
    await driver.prepare(signal())
    resources = await driver.openResources()
  }
  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/bothy-governing-')
    image = await testImage()
    cgroups = await detectCgroups()
    await open()
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
  })
  afterEach(() => driver.destroy(sandbox.id))

  const start = async (script: string, group: 'session' | 'work' = 'session') => {
    const stream = await sandbox.exec({ argv: ['/bin/sh', '-c', script], group }, signal())
    stream.stdin.end()
    stream.stderr?.resume()
    return stream
  }
  const run = async (script: string, group?: 'session' | 'work') =>
    (await text((await start(script, group)).stdout)).trim()

  const isV2 = () => cgroups.mode === 'v2'
  const folder = (group = '') =>
    join(hierarchyOf(cgroups, 'cpu') ?? '', cgroupPath(layoutOf(shortId, dir), sandbox.id), group)
  const read = (group: string, name: string) => readFileSync(join(folder(group), name), 'utf8').trim()
  const weight = (group = '') => Number(read(group, isV2() ? 'cpu.weight' : 'cpu.shares'))
  const quota = (group = '') =>
    isV2() ? read(group, 'cpu.max').split(' ')[0] : read(group, 'cpu.cfs_quota_us')
  const loose = () => (isV2() ? 'max' : '-1')
  const weights = { weight: 200, sessionWeight: 10_000, workWeight: 100 }
  const set = (limits: Partial<CpuLimits> = {}) =>
    resources.act({ kind: 'cpu', id: sandbox.id, limits: { ...weights, ...limits } }, signal())
  const expected = (value: number) => (isV2() ? value : Math.round((value * 1024) / 100))
  const inside = (name: string) =>
    isV2() ? '/sys/fs/cgroup' : `$(dirname $(find /sys/fs/cgroup -maxdepth 2 -name ${name}))`
  /** A folder of the sandbox's own, as root inside sees it, in the hierarchy that shares processors. */
  const own = () => inside('cpu.shares')

  test('weighs it, its session and its work', async () => {
    await set()
    expect([weight(), weight('session'), weight('work')]).toEqual([200, 10_000, 100].map(expected))
    await set({ weight: 1, workWeight: 50 })
    expect([weight(), weight('session'), weight('work')]).toEqual([1, 10_000, 50].map(expected))
  })

  test('meters all but its session, and lets go', async () => {
    await run(`mkdir ${own()}/docker`)
    await set({ cores: 2, workCores: 0.5 })
    expect([quota(), quota('work'), quota('docker'), quota('session')]).toEqual([
      '200000',
      '50000',
      '50000',
      loose(),
    ])
    await set({ workCores: 0.3 })
    expect([quota(), quota('work'), quota('docker')]).toEqual([loose(), '30000', '30000'])
    await set()
    expect([quota(), quota('work'), quota('docker')]).toEqual([loose(), loose(), loose()])
  })

  test('a meter holds who works, and the numbers say so', async () => {
    const look = async () => {
      const environment = (await resources.sense()).environments.get(sandbox.id)
      if (environment === undefined) throw new Error('it is not seen')
      return environment.cpu
    }
    await set({ workCores: 0.1 })
    const busy = await start('while :; do :; done', 'work')
    await vi.waitFor(async () => expect((await look()).throttledTimes).toBeGreaterThan(5), soon)
    const before = { cpu: await look(), atMs: performance.now() }
    await vi.waitFor(
      async () =>
        expect((await look()).throttledTimes).toBeGreaterThan((before.cpu.throttledTimes ?? 0) + 10),
      soon,
    )
    const after = await look()
    const elapsedUs = (performance.now() - before.atMs) * 1000
    expect((after.usageUs - before.cpu.usageUs) / elapsedUs).toBeLessThan(0.2)
    expect(after.sessionUs - before.cpu.sessionUs).toBeLessThan(10_000)
    expect(after.throttledUs).toBeGreaterThan(before.cpu.throttledUs ?? 0)
    busy.exit.catch(() => undefined) // Ended with its sandbox.
  })

  test('a ceiling holds below what somebody inside has set for a part', async () => {
    if (isV2())
      await run(
        `echo +cpu > ${own()}/cgroup.subtree_control; mkdir ${own()}/docker; echo 180000 100000 > ${own()}/docker/cpu.max`,
      )
    else await run(`mkdir -p ${own()}/docker/c; echo 180000 > ${own()}/docker/c/cpu.cfs_quota_us`)
    await set({ cores: 1, workCores: 0.5 })
    expect([quota(), quota('work')]).toEqual(['100000', '50000'])
    await set()
    expect(quota()).toBe(loose())
  })

  const jobs = async (): Promise<readonly JobSample[]> => resources.jobs(sandbox.id)
  const jobOf = async (pid: number): Promise<JobSample> => {
    const found = (await jobs()).find(each => each.pids.includes(pid))
    if (found === undefined) throw new Error(`no job of process ${pid}`)
    return found
  }
  /** The number, on the host, of the process that calls itself so. */
  const pidOf = async (name: string): Promise<number> => {
    const found = (await resources.processes(sandbox.id)).find(each => each.name === name)
    if (found === undefined) throw new Error(`no process ${name}`)
    return found.pid
  }
  const BUSY = (name: string) => `cp /bin/sleep /tmp/${name}; cp /bin/dash /tmp/${name}-sh; `

  test('counts jobs and moves them, with what they start, and back', async () => {
    await start(`${BUSY('child')} exec setsid /tmp/child-sh -c '/tmp/child 1000 & while :; do :; done'`)
    const pid = await vi.waitFor(() => pidOf('child-sh'), soon)
    const job = await vi.waitFor(async () => {
      const found = await jobOf(pid)
      expect(found.pids.length).toBe(2)
      expect(found).toMatchObject({ in: 'session', isFromSession: true, group: pid })
      return found
    }, soon)
    await vi.waitFor(async () => expect((await jobOf(pid)).cpuUs).toBeGreaterThan(job.cpuUs + 50_000), soon)

    const move = { kind: 'move', id: sandbox.id, group: job.group, startedTicks: job.startedTicks } as const
    await resources.act({ ...move, to: 'work' }, signal())
    expect(await jobOf(pid)).toMatchObject({ in: 'work', isFromSession: true })
    const groups = readFileSync(`/proc/${await pidOf('child')}/cgroup`, 'utf8')
    expect(groups).toContain(`${sandbox.id}/work/moved`)
    // Twice changes nothing; one that began at another time is another one.
    await resources.act({ ...move, to: 'work' }, signal())
    await resources.act({ ...move, startedTicks: 1, to: 'session' }, signal())
    expect(await jobOf(pid)).toMatchObject({ in: 'work', isFromSession: true })
    await resources.act({ ...move, to: 'session' }, signal())
    expect(await jobOf(pid)).toMatchObject({ in: 'session', isFromSession: true })
  })

  test('knows what was never in a session', async () => {
    await start(`${BUSY('task')} exec /tmp/task 1000`, 'work')
    const pid = await vi.waitFor(() => pidOf('task'), soon)
    await vi.waitFor(
      async () => expect(await jobOf(pid)).toMatchObject({ in: 'work', isFromSession: false }),
      soon,
    )
  })

  test('makes its groups again, as they were, when root inside has removed them', async () => {
    await set({ sessionWeight: 5_000 })
    await run('rmdir $(find /sys/fs/cgroup -maxdepth 2 -name session)', 'work')
    await vi.waitFor(async () => {
      await resources.sense()
      expect(weight('session')).toBe(expected(5_000))
    }, soon)
  })

  test('an environment that is gone is no error', async () => {
    const { id } = sandbox
    await set({ workCores: 0.5 })
    await driver.destroy(id)
    expect((await resources.sense()).environments.has(id)).toBe(false)
    await set({ workCores: 0.5, cores: 1 })
    await resources.act({ kind: 'move', id, group: 4711, startedTicks: 1, to: 'work' }, signal())
    await resources.act({ kind: 'freeze', id, frozen: false, reason: 'idle' }, signal())
    expect([await resources.jobs(id), await resources.processes(id)]).toEqual([[], []])
    expect(existsSync(folder())).toBe(false)
  })

  test('nobody waits for a process that waits for its disk', async () => {
    const socket = runtimePaths(layoutOf(shortId, driver.poolDir), sandbox.id).socket
    await whileFrozen(
      socket,
      async () => {
        await start('exec dd if=/dev/zero of=/workspaces/written bs=1M count=1 conv=fsync')
        const pid = await vi.waitFor(() => pidOf('dd'), soon)
        await vi.waitFor(() => expect(readFileSync(`/proc/${pid}/stat`, 'utf8')).toContain(' D '), soon)
        await vi.waitFor(async () => expect(await jobOf(pid)).toMatchObject({ in: 'session' }), soon)
        const since = performance.now()
        const { group, startedTicks } = await jobOf(pid)
        await resources.act({ kind: 'freeze', id: sandbox.id, frozen: true, reason: 'idle' }, signal())
        await resources.act({ kind: 'move', id: sandbox.id, group, startedTicks, to: 'work' }, signal())
        await set({ workCores: 0.5 })
        await resources.act({ kind: 'freeze', id: sandbox.id, frozen: false, reason: 'idle' }, signal())
        expect(performance.now() - since).toBeLessThan(2_000)
        expect(await jobOf(pid)).toMatchObject({ in: 'work', isFromSession: true })
      },
      systemClock,
      signal(),
    )
  })

  test('thousands of groups inside cost little', async () => {
    const made = Number(
      await run(`perl -e 'my $n = 0; $n++ while $n < 1900 && mkdir "$ARGV[0]/g$n"; print $n' ${own()}`),
    )
    expect(made).toBeGreaterThan(1_800)
    const since = process.cpuUsage()
    await set({ workCores: 0.5 })
    await resources.sense()
    await jobs()
    await resources.processes(sandbox.id)
    await set()
    const { user, system } = process.cpuUsage(since)
    expect((user + system) / 1000).toBeLessThan(500)
    expect(
      readdirSync(folder())
        .filter(name => /^g\d/.test(name))
        .every(name => quota(name) === loose()),
    ).toBe(true)
  })

  describe('a runner that is killed', () => {
    // The same driver, in a process of its own.
    const RUNNER = `
      const [dir, shortId, id] = process.argv.slice(1)
      const { createLinuxDriver } = await import('${new URL('../driver.ts', import.meta.url).href}')
      const { systemClock } = await import('${new URL('../../../lib/clock.ts', import.meta.url).href}')
      const { silentLog } = await import('${new URL('../../../lib/log.ts', import.meta.url).href}')
      const signal = AbortSignal.timeout(60000)
      const driver = createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog })
      await driver.prepare(signal)
      const resources = await driver.openResources()
      const limits = { weight: 1, sessionWeight: 10000, workWeight: 100, workCores: 0.1, cores: 1.5 }
      await resources.act({ kind: 'cpu', id, limits }, signal)
      await resources.act({ kind: 'freeze', id, frozen: true, reason: 'idle' }, signal)
      console.log('held')
      setInterval(() => undefined, 1000)
    `

    test('holds nobody any more', async () => {
      const { id } = sandbox
      await driver.close()
      const runner = spawn(process.execPath, ['--input-type=module', '-e', RUNNER, dir, shortId, id], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const gone = new Promise(resolve => runner.once('exit', resolve))
      try {
        await vi.waitFor(() => expect(runner.stdout.read()?.toString()).toBe('held\n'), {
          ...soon,
          timeout: 30_000,
        })
        expect([weight(), quota(), quota('work')]).toEqual([expected(1), '150000', '10000'])
      } finally {
        runner.kill('SIGKILL')
        await gone
      }
      const free = [expected(100), loose(), loose()]
      await vi.waitFor(() => expect([weight(), quota(), quota('work')]).toEqual(free), soon)
      await open()
      sandbox = (await driver.find(id)) ?? sandbox
      expect((await resources.sense()).environments.get(id)?.isFrozen).toBe(false)
      expect(await run('echo lives')).toBe('lives')
    })

    test('holds nobody either when its guardian was killed, too, and another one comes', async () => {
      await set({ cores: 1, workCores: 0.2 })
      await resources.act({ kind: 'freeze', id: sandbox.id, frozen: true, reason: 'memory' }, signal())
      // What a guardian that was killed has not done.
      const files = [
        [folder(), '150000'],
        [folder('work'), '20000'],
      ] as const
      await driver.close()
      for (const [dir, value] of files)
        writeFileSync(join(dir, isV2() ? 'cpu.max' : 'cpu.cfs_quota_us'), value)
      await open()
      expect([quota(), quota('work')]).toEqual([loose(), loose()])
      sandbox = (await driver.find(sandbox.id)) ?? sandbox
      expect(await run('echo lives')).toBe('lives')
    })

    test('another guardian takes the place of one that was killed', async () => {
      await set({ workCores: 0.2 })
      const guardians = () =>
        readdirSync('/proc')
          .filter(name => /^\d+$/.test(name))
          .map(Number)
          .filter(pid => {
            try {
              return (
                readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('bothy-guardian') &&
                readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(shortId)
              )
            } catch {
              return false // Ended while we looked.
            }
          })
      const [first] = guardians()
      process.kill(first!, 'SIGKILL')
      await vi.waitFor(() => expect(guardians().filter(pid => pid !== first)).toHaveLength(1), soon)
      await set({ workCores: 0.1 })
      expect(quota('work')).toBe('10000')
      await resources.release()
      expect(quota('work')).toBe(loose())
    })
  })
})
