// Memory of real environments: at a ceiling, pushed out, suspended and woken; and what is left of it all when the runner
// is gone. The governors decide here as they do in a runner, over a swap device of this test's own.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { leftovers, testShortId, whyNoSandboxes } from '../../../../test/support/host.ts'
import { testImage } from '../../../../test/support/image.ts'
import { titled } from '../../../../test/support/requirements.ts'
import type { Sandbox, SandboxId, UnpackedImage } from '../../../core/driver.ts'
import type { Act, Decision } from '../../../core/governor/act.ts'
import type { EnvironmentTerms, Governor } from '../../../core/governor/governor.ts'
import type { HostResources } from '../../../core/governor/host-resources.ts'
import { memory } from '../../../core/governor/memory.ts'
import { decideRound, looksOf, type States } from '../../../core/governor/round.ts'
import type { HostSample } from '../../../core/governor/sample.ts'
import { suspend } from '../../../core/governor/suspend.ts'
import { systemClock } from '../../../lib/clock.ts'
import { uuidv7 } from '../../../lib/ids.ts'
import { silentLog } from '../../../lib/log.ts'
import { type Cgroups, detectCgroups, hierarchyOf } from '../cgroups.ts'
import { createLinuxDriver, type LinuxDriver } from '../driver.ts'
import { cgroupPath, layoutOf } from '../layout.ts'
import { hasControl } from './zram.ts'

const MIB = 2 ** 20
const why = whyNoSandboxes()
const hasZram = why === undefined && (await hasControl())

describe.skipIf(why !== undefined)(titled('memory of environments', why), () => {
  const shortId = testShortId()
  const signal = () => AbortSignal.timeout(60_000)
  const soon = { timeout: 20_000, interval: 20 }
  const MEMORY = 192 * MIB
  let dir: string
  let image: UnpackedImage
  let cgroups: Cgroups
  let driver: LinuxDriver
  let resources: HostResources
  let sandboxes: Sandbox[] = []

  const open = async () => {
    const swap = { mode: hasZram ? 'zram' : 'off', sizeBytes: 512 * MIB } as const
    driver = createLinuxDriver({ shortId, dir, swap, clock: systemClock, log: silentLog })
    await driver.prepare(signal())
    resources = await driver.openResources()
  }
  beforeAll(async () => {
    dir = await mkdtemp('/var/tmp/bothy-memory-')
    image = await testImage()
    cgroups = await detectCgroups()
    await open()
  }, 300_000)
  afterAll(async () => {
    await driver.teardown()
    await rm(dir, { recursive: true, force: true })
    expect(leftovers(shortId)).toEqual([])
  }, 60_000)
  beforeEach(async () => {
    sandboxes = [await make()]
  })
  afterEach(async () => {
    await Promise.all(sandboxes.map(({ id }) => driver.destroy(id)))
    await resources.release()
  })

  const make = async (): Promise<Sandbox> => {
    const id = uuidv7()
    await driver.ensureDisk(id, 2 ** 30, signal())
    const limits = { memoryBytes: MEMORY, pids: 512 }
    return driver.ensure({ id, name: 'calm-otter', epoch: 1, image, env: {}, ...limits }, signal())
  }
  const start = async (sandbox: Sandbox, script: string, group: 'session' | 'work' = 'session') => {
    const stream = await sandbox.exec({ argv: ['/bin/bash', '-c', script], group }, signal())
    stream.stderr?.resume()
    return stream
  }
  const run = async (sandbox: Sandbox, script: string, group?: 'session' | 'work') => {
    const stream = await start(sandbox, script, group)
    stream.stdin.end()
    return (await text(stream.stdout)).trim()
  }
  /** Takes so much, says so, and holds it. */
  const eater = (mebibytes: number, name = 'eater') =>
    `exec -a ${name} perl -e '$0 = "${name}"; $| = 1; $x = "x"; $x x= ${mebibytes} << 20; print "full\\n"; sleep 600'`
  const file = (id: SandboxId, name: string) =>
    join(hierarchyOf(cgroups, 'memory') ?? '', cgroupPath(layoutOf(shortId, dir), id), name)
  const read = (id: SandboxId, name: string) => readFileSync(file(id, name), 'utf8')
  const sampleOf = async (id: SandboxId) => {
    const sample = (await resources.sense()).environments.get(id)
    if (sample === undefined) throw new Error('it is not seen')
    return sample
  }
  const bytesOf = (id: SandboxId) =>
    Number(read(id, cgroups.mode === 'v2' ? 'memory.current' : 'memory.usage_in_bytes'))
  const act = (one: Act) => resources.act(one, signal())

  /** Governs as a runner does, with what it is told of the environments and of the host. */
  const govern = (
    governors: readonly Governor<unknown>[],
    told: {
      readonly terms?: (terms: EnvironmentTerms) => EnvironmentTerms
      readonly host?: (host: HostSample) => HostSample
    } = {},
  ) => {
    const over = new AbortController()
    const done: Decision[] = []
    const loop = async () => {
      let states: States = {}
      for (; !over.signal.aborted; await systemClock.sleep(100, over.signal).catch(() => undefined)) {
        const sensed = await resources.sense()
        const host = told.host?.(sensed) ?? sensed
        const terms = new Map(
          sandboxes.map(({ id }) => {
            const plain = { id, name: 'calm-otter', cpuWeight: 100, connections: 1 }
            const its = { ...plain, memoryBytes: MEMORY, guaranteedBytes: 32 * MIB, heardMs: host.atMs }
            return [id, told.terms?.(its) ?? its] as const
          }),
        )
        const looks = looksOf(governors, states, host, terms).processes
        const processes = (await Promise.all(looks.map(id => resources.processes(id)))).flat()
        const looked = { jobs: new Set<string>(), processes: new Set(looks) }
        const { abilities } = resources
        const round = decideRound(governors, states, { host, jobs: [], processes, looked, terms, abilities })
        states = round.states
        for (const decision of round.decisions) {
          await act(decision.act)
          done.push(decision)
        }
      }
    }
    const running = loop()
    return {
      done,
      killed: () => done.flatMap(({ act: one }) => (one.kind === 'kill' ? [one.name] : [])),
      async end() {
        over.abort()
        await running
      },
    }
  }

  test('its processes are seen, with what they take and where they are', async () => {
    const { id } = sandboxes[0] as Sandbox
    const work = await start(sandboxes[0] as Sandbox, eater(60, 'compiler'), 'work')
    const session = await start(sandboxes[0] as Sandbox, eater(20, 'server'))
    await Promise.all(
      [work, session].map(async ({ stdout }) => expect(String(await first(stdout))).toBe('full\n')),
    )
    const processes = await resources.processes(id)
    const of = (name: string) => processes.find(each => each.name === name)
    expect(of('compiler')).toMatchObject({ in: 'work', environment: id })
    expect(of('compiler')?.bytes).toBeGreaterThan(60 * MIB)
    expect(of('server')).toMatchObject({ in: 'session' })
    // Should the kernel shoot all the same, it begins with the work.
    expect((of('compiler')?.oomScoreAdjust ?? 0) - (of('server')?.oomScoreAdjust ?? 0)).toBe(500)
  })

  test('ends a process that is meant, and no other one that has its number', async () => {
    const sandbox = sandboxes[0] as Sandbox
    const stream = await start(sandbox, eater(20, 'compiler'))
    await first(stream.stdout)
    const [victim] = (await resources.processes(sandbox.id)).filter(each => each.name === 'compiler')
    const { pid = 0, startedTicks = 0 } = victim ?? {}
    await act({ kind: 'kill', id: sandbox.id, pid, startedTicks: startedTicks + 1 })
    await act({ kind: 'kill', id: uuidv7(), pid, startedTicks })
    await act({ kind: 'kill', id: sandbox.id, pid: process.pid, startedTicks })
    expect((await resources.processes(sandbox.id)).some(each => each.pid === pid)).toBe(true)
    await act({ kind: 'kill', id: sandbox.id, pid, startedTicks })
    expect(await stream.exit).toEqual({ signal: 'SIGKILL' })
  })

  test('a ceiling is set, also below what is in the way of it, and refused below what is in use', async () => {
    const sandbox = sandboxes[0] as Sandbox
    const limit = cgroups.mode === 'v2' ? 'memory.max' : 'memory.limit_in_bytes'
    for (const limitBytes of [256 * MIB, 128 * MIB, 160 * MIB]) {
      await act({ kind: 'memory', id: sandbox.id, limitBytes, protectedBytes: 32 * MIB })
      expect(Number(read(sandbox.id, limit))).toBe(limitBytes)
    }
    await act({ kind: 'memory', id: uuidv7(), limitBytes: MIB })
  })

  test.skipIf(!hasZram)('what an idle one has is pushed out, and comes back', async () => {
    const sandbox = sandboxes[0] as Sandbox
    const stream = await start(sandbox, `${eater(100)}`)
    await first(stream.stdout)
    expect(bytesOf(sandbox.id)).toBeGreaterThan(100 * MIB)
    await act({ kind: 'reclaim', id: sandbox.id, bytes: 40 * MIB })
    expect(bytesOf(sandbox.id)).toBeLessThan(90 * MIB)
    const limit = read(sandbox.id, cgroups.mode === 'v2' ? 'memory.max' : 'memory.limit_in_bytes')
    expect(Number(limit)).toBe(MEMORY)
    await act({ kind: 'freeze', id: sandbox.id, frozen: true, reason: 'idle' })
    await act({ kind: 'reclaim', id: sandbox.id, bytes: 1024 * MIB })
    expect(bytesOf(sandbox.id)).toBeLessThan(20 * MIB)
    expect((await sampleOf(sandbox.id)).memory.swapBytes).toBeGreaterThan(60 * MIB)
    await resources.wake(sandbox.id)
    expect(await run(sandbox, 'echo awake')).toBe('awake')
  })

  test('a bomb in work is ended, the shell beside it answers all the while, and it is known who it was', async () => {
    const sandbox = sandboxes[0] as Sandbox
    const shell = await start(sandbox, 'while read -r line; do echo "$line $(date +%N)"; done')
    const governing = govern([memory])
    try {
      await vi.waitFor(() => expect(governing.done.length).toBeGreaterThan(0), soon)
      const bomb = await start(sandbox, eater(1000, 'bomb'), 'work')
      let isOver = false
      void bomb.exit.finally(() => {
        isOver = true
      })
      do {
        // Each answer takes a process of its own.
        shell.stdin.write('hello\n')
        expect(String(await first(shell.stdout))).toMatch(/^hello \d+\n$/)
      } while (!isOver)
      expect(await bomb.exit).toMatchObject({ signal: 'SIGKILL' })
      await vi.waitFor(async () => {
        const { oomKills, lastShot } = (await sampleOf(sandbox.id)).memory
        expect(oomKills).toBe(1)
        expect(lastShot).toEqual({ name: 'bomb', bytes: expect.any(Number) })
        expect(lastShot?.bytes).toBeGreaterThan(100 * MIB)
      }, soon)
    } finally {
      await governing.end()
    }
  }, 60_000)

  test('where nobody is connected, the governor chooses who goes before the kernel does', async context => {
    if (!resources.abilities.holdKiller) return context.skip('this kernel does not hold its killer back')
    const sandbox = sandboxes[0] as Sandbox
    const server = await start(sandbox, eater(90, 'server'))
    await first(server.stdout)
    const governing = govern([memory], { terms: terms => ({ ...terms, connections: 0 }) })
    try {
      await vi.waitFor(
        () => expect(read(sandbox.id, 'memory.oom_control')).toMatch(/oom_kill_disable 1/),
        soon,
      )
      const bomb = await start(sandbox, eater(1000, 'bomb'), 'work')
      expect(await bomb.exit).toMatchObject({ signal: 'SIGKILL' })
      await vi.waitFor(() => expect(governing.killed()).toEqual(['bomb']), soon)
      const kill = governing.done.find(({ act: { kind } }) => kind === 'kill')
      expect(kill?.why).toMatch(/^killed bomb \(\d+ MiB\): the environment is at its ceiling of 192 MiB$/)
      expect((await sampleOf(sandbox.id)).memory.oomKills).toBe(0)
      expect((await resources.processes(sandbox.id)).some(({ name }) => name === 'server')).toBe(true)
      // What was lent is taken back.
      await vi.waitFor(() => expect(Number(read(sandbox.id, 'memory.limit_in_bytes'))).toBe(MEMORY), soon)
    } finally {
      await governing.end()
    }
  }, 60_000)

  test.skipIf(!hasZram)(
    'an idle one is suspended and pushed out, and the first command wakes it',
    async () => {
      const sandbox = sandboxes[0] as Sandbox
      const stream = await start(sandbox, `${eater(100)}`)
      await first(stream.stdout)
      let connections = 0
      const suspendAfterMs = 1_000
      const governing = govern([memory, suspend], {
        terms: ({ heardMs: _, ...terms }) => ({ ...terms, connections, suspendAfterMs }),
      })
      try {
        await vi.waitFor(async () => {
          expect(await sampleOf(sandbox.id)).toMatchObject({ isFrozen: true })
          expect(bytesOf(sandbox.id)).toBeLessThan(20 * MIB)
        }, soon)
        connections = 1
        const sinceMs = performance.now()
        await resources.wake(sandbox.id)
        expect(performance.now() - sinceMs).toBeLessThan(100)
        expect(await run(sandbox, 'echo awake')).toBe('awake')
        await vi.waitFor(
          () =>
            expect(governing.done.map(({ act: one, why: reason }) => [one.kind, reason])).toContainEqual([
              'freeze',
              'somebody came',
            ]),
          soon,
        )
        expect((await sampleOf(sandbox.id)).isFrozen).toBe(false)
      } finally {
        await governing.end()
      }
    },
    60_000,
  )

  test('a command that comes while it is suspended needs nobody else to wake it', async () => {
    const sandbox = sandboxes[0] as Sandbox
    await act({ kind: 'freeze', id: sandbox.id, frozen: true, reason: 'idle' })
    await act({ kind: 'freeze', id: sandbox.id, frozen: true, reason: 'memory' })
    await vi.waitFor(async () => expect((await sampleOf(sandbox.id)).isFrozen).toBe(true), soon)
    expect(await run(sandbox, 'echo awake')).toBe('awake')
    await act({ kind: 'freeze', id: sandbox.id, frozen: true, reason: 'idle' })
    await expect(sandbox.dial(9, signal())).rejects.toMatchObject({ code: 'port-refused' })
    await vi.waitFor(async () => expect((await sampleOf(sandbox.id)).isFrozen).toBe(false), soon)
  })

  test.skipIf(!hasZram)(
    'of two that want more than there is, the idle one makes room, and nobody is killed',
    async () => {
      sandboxes.push(await make())
      const [busy, idle] = sandboxes as [Sandbox, Sandbox]
      const streams = await Promise.all(
        sandboxes.map(each => start(each, `read -r x; ${eater(110)}`, 'work')),
      )
      for (const { stdin } of streams) stdin.end('\n')
      for (const { stdout } of streams) await first(stdout)
      const taken = () => bytesOf(busy.id) + bytesOf(idle.id)
      // As on a host where these two have left one twelfth; a second is a minute there, so that who is idle is so at once.
      const totalBytes = Math.floor(taken() * (12 / 11))
      const governing = govern([memory], {
        terms: terms => (terms.id === busy.id ? terms : { ...terms, connections: 0, heardMs: 0 }),
        host: host => ({
          ...host,
          atMs: host.atMs * 60,
          memory: { ...host.memory, totalBytes, availableBytes: Math.max(0, totalBytes - taken()) },
        }),
      })
      try {
        await vi.waitFor(() => expect(bytesOf(idle.id)).toBeLessThan(30 * MIB), soon)
        expect(bytesOf(busy.id)).toBeGreaterThan(110 * MIB)
        expect(governing.killed()).toEqual([])
        const pushed = () =>
          governing.done.find(({ act: one }) => one.kind === 'reclaim' && one.id === idle.id)
        await vi.waitFor(() => expect(pushed()).toBeDefined(), soon)
        expect(pushed()?.why).toMatch(/^idle, and memory is short: \d+ MiB of \d+ MiB left on the host$/)
        for (const each of sandboxes) expect(await run(each, 'echo lives')).toBe('lives')
      } finally {
        await governing.end()
      }
    },
    60_000,
  )

  test('a bomb of many is ended, too', async () => {
    const sandbox = sandboxes[0] as Sandbox
    const governing = govern([memory])
    try {
      const bomb = await start(
        sandbox,
        `for i in $(seq 40); do (${eater(12, 'small')}) & done; wait; echo over`,
        'work',
      )
      await vi.waitFor(async () => {
        expect(bytesOf(sandbox.id)).toBeLessThan(MEMORY)
        const { oomKills } = (await sampleOf(sandbox.id)).memory
        expect(governing.killed().length + oomKills).toBeGreaterThan(10)
      }, soon)
      expect(await run(sandbox, 'echo lives')).toBe('lives')
      bomb.exit.catch(() => undefined) // Ended with its sandbox.
    } finally {
      await governing.end()
    }
  }, 60_000)

  describe('a runner that is killed', () => {
    // The same driver, in a process of its own.
    const RUNNER = `
      const [dir, shortId, id] = process.argv.slice(1)
      const { createLinuxDriver } = await import('${new URL('../driver.ts', import.meta.url)}')
      const { systemClock } = await import('${new URL('../../../lib/clock.ts', import.meta.url)}')
      const { silentLog } = await import('${new URL('../../../lib/log.ts', import.meta.url)}')
      const signal = AbortSignal.timeout(60000)
      const driver = createLinuxDriver({ shortId, dir, clock: systemClock, log: silentLog })
      await driver.prepare(signal)
      const resources = await driver.openResources()
      if (resources.abilities.holdKiller) await resources.act({ kind: 'hold-killer', id, held: true }, signal)
      await resources.act({ kind: 'freeze', id, frozen: true, reason: 'memory' }, signal)
      console.log('held')
      setInterval(() => undefined, 1000)
    `

    test('leaves nobody frozen, and the kernel its killer', async () => {
      const { id } = sandboxes[0] as Sandbox
      const holds = resources.abilities.holdKiller
      const isHeld = () => /^oom_kill_disable 1$/m.test(read(id, 'memory.oom_control'))
      await driver.close()
      const runner = spawn(process.execPath, ['--input-type=module', '-e', RUNNER, dir, shortId, id], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const gone = new Promise(resolve => runner.once('exit', resolve))
      try {
        expect(String(await first(runner.stdout))).toBe('held\n')
        if (holds) expect(isHeld()).toBe(true)
      } finally {
        runner.kill('SIGKILL')
        await gone
      }
      if (holds) await vi.waitFor(() => expect(isHeld()).toBe(false), soon)
      await open()
      const found = await driver.find(id)
      await vi.waitFor(async () => expect((await sampleOf(id)).isFrozen).toBe(false), soon)
      expect(await run(found as Sandbox, 'echo lives')).toBe('lives')
    })
  })
})

/** What a stream says next. */
function first(stream: NodeJS.ReadableStream): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    stream.once('data', resolve)
    stream.once('end', () => reject(new Error('it ended')))
  })
}
