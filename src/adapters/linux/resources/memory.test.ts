// Memory of real environments: at a ceiling, short of it, and what is left of it all when the runner is gone.
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { describe, expect, test, vi } from 'vitest'
import { whyNoSandboxes } from '../../../../test/support/host.ts'
import { titled } from '../../../../test/support/requirements.ts'
import { first, MEMORY, smallHost, soon } from '../../../../test/support/small-host.ts'
import type { Sandbox } from '../../../core/driver.ts'
import { memory } from '../../../core/governor/memory.ts'
import { uuidv7 } from '../../../lib/ids.ts'

const MIB = 2 ** 20
const why = whyNoSandboxes()

describe.skipIf(why !== undefined)(titled('memory of environments', why), () => {
  const host = smallHost()

  test('its processes are seen, with what they take and where they are', async () => {
    const { id } = host.sandboxes[0] as Sandbox
    const work = await host.start(host.sandboxes[0] as Sandbox, host.eater(60, 'compiler'), 'work')
    const session = await host.start(host.sandboxes[0] as Sandbox, host.eater(20, 'server'))
    await Promise.all(
      [work, session].map(async ({ stdout }) => expect(String(await first(stdout))).toBe('full\n')),
    )
    const processes = await host.resources.processes(id)
    const of = (name: string) => processes.find(each => each.name === name)
    expect(of('compiler')).toMatchObject({ in: 'work', environment: id })
    expect(of('compiler')?.bytes).toBeGreaterThan(60 * MIB)
    expect(of('server')).toMatchObject({ in: 'session' })
    // Should the kernel shoot all the same, it begins with the work.
    expect((of('compiler')?.oomScoreAdjust ?? 0) - (of('server')?.oomScoreAdjust ?? 0)).toBe(500)
  })

  test('ends a process that is meant, and no other one that has its number', async () => {
    const sandbox = host.sandboxes[0] as Sandbox
    const stream = await host.start(sandbox, host.eater(20, 'compiler'))
    await first(stream.stdout)
    const [victim] = (await host.resources.processes(sandbox.id)).filter(each => each.name === 'compiler')
    const { pid = 0, startedTicks = 0 } = victim ?? {}
    await host.act({ kind: 'kill', id: sandbox.id, pid, startedTicks: startedTicks + 1 })
    await host.act({ kind: 'kill', id: uuidv7(), pid, startedTicks })
    await host.act({ kind: 'kill', id: sandbox.id, pid: process.pid, startedTicks })
    expect((await host.resources.processes(sandbox.id)).some(each => each.pid === pid)).toBe(true)
    await host.act({ kind: 'kill', id: sandbox.id, pid, startedTicks })
    expect(await stream.exit).toEqual({ signal: 'SIGKILL' })
  })

  test('a ceiling is set, also below what is in the way of it, and refused below what is in use', async () => {
    const sandbox = host.sandboxes[0] as Sandbox
    const limit = host.cgroups.mode === 'v2' ? 'memory.max' : 'memory.limit_in_bytes'
    for (const limitBytes of [256 * MIB, 128 * MIB, 160 * MIB]) {
      await host.act({ kind: 'memory', id: sandbox.id, limitBytes, protectedBytes: 32 * MIB })
      expect(Number(host.read(sandbox.id, limit))).toBe(limitBytes)
    }
    await host.act({ kind: 'memory', id: uuidv7(), limitBytes: MIB })
  })

  test('a bomb in work is ended, the shell beside it answers all the while, and it is known who it was', async () => {
    const sandbox = host.sandboxes[0] as Sandbox
    const shell = await host.start(sandbox, 'while read -r line; do echo "$line $(date +%N)"; done')
    const governing = host.govern([memory])
    try {
      await vi.waitFor(() => expect(governing.done.length).toBeGreaterThan(0), soon)
      const bomb = await host.start(sandbox, host.eater(1000, 'bomb'), 'work')
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
        const { oomKills, lastShot } = (await host.sampleOf(sandbox.id)).memory
        expect(oomKills).toBe(1)
        expect(lastShot).toEqual({ name: 'bomb', bytes: expect.any(Number) })
        expect(lastShot?.bytes).toBeGreaterThan(100 * MIB)
      }, soon)
    } finally {
      await governing.end()
    }
  }, 60_000)

  test('where nobody is connected, the governor chooses who goes before the kernel does', async context => {
    if (!host.resources.abilities.holdKiller) return context.skip('this kernel does not hold its killer back')
    const sandbox = host.sandboxes[0] as Sandbox
    const server = await host.start(sandbox, host.eater(90, 'server'))
    await first(server.stdout)
    const governing = host.govern([memory], { terms: terms => ({ ...terms, connections: 0 }) })
    try {
      await vi.waitFor(
        () => expect(host.read(sandbox.id, 'memory.oom_control')).toMatch(/oom_kill_disable 1/),
        soon,
      )
      const bomb = await host.start(sandbox, host.eater(1000, 'bomb'), 'work')
      expect(await bomb.exit).toMatchObject({ signal: 'SIGKILL' })
      await vi.waitFor(() => expect(governing.killed()).toEqual(['bomb']), soon)
      const kill = governing.done.find(({ act: { kind } }) => kind === 'kill')
      expect(kill?.why).toMatch(/^killed bomb \(\d+ MiB\): the environment is at its ceiling of 192 MiB$/)
      expect((await host.sampleOf(sandbox.id)).memory.oomKills).toBe(0)
      expect((await host.resources.processes(sandbox.id)).some(({ name }) => name === 'server')).toBe(true)
      // What was lent is taken back.
      await vi.waitFor(
        () => expect(Number(host.read(sandbox.id, 'memory.limit_in_bytes'))).toBe(MEMORY),
        soon,
      )
    } finally {
      await governing.end()
    }
  }, 60_000)

  test('containers inside keep the killer of their own ceilings', async context => {
    if (!host.resources.abilities.holdKiller) return context.skip('this kernel does not hold its killer back')
    const sandbox = host.sandboxes[0] as Sandbox
    const held = () => /oom_kill_disable (\d)/.exec(host.read(sandbox.id, 'memory.oom_control'))?.[1]
    const inner = () => /oom_kill_disable (\d)/.exec(host.read(sandbox.id, 'inner/memory.oom_control'))?.[1]
    await host.act({ kind: 'hold-killer', id: sandbox.id, held: true })
    await host.run(sandbox, 'mkdir /sys/fs/cgroup/memory/inner')
    // The kernel hands it down.
    expect([held(), inner()]).toEqual(['1', '1'])
    const governing = host.govern([memory], { terms: terms => ({ ...terms, connections: 0 }) })
    try {
      await vi.waitFor(() => expect([held(), inner()]).toEqual(['0', '0']), soon)
      const script = `cd /sys/fs/cgroup/memory/inner; echo 50M > memory.limit_in_bytes; echo 50M > memory.memsw.limit_in_bytes; echo $$ > cgroup.procs; ${host.eater(100, 'bomb')}`
      const bomb = await host.start(sandbox, script)
      expect(await bomb.exit).toMatchObject({ signal: 'SIGKILL' })
    } finally {
      await governing.end()
    }
  }, 60_000)

  test('a bomb of many is ended, too', async () => {
    const sandbox = host.sandboxes[0] as Sandbox
    const governing = host.govern([memory])
    try {
      const bomb = await host.start(
        sandbox,
        `for i in $(seq 40); do (${host.eater(12, 'small')}) & done; wait; echo over`,
        'work',
      )
      await vi.waitFor(async () => {
        expect(host.bytesOf(sandbox.id)).toBeLessThan(MEMORY)
        const { oomKills } = (await host.sampleOf(sandbox.id)).memory
        expect(governing.killed().length + oomKills).toBeGreaterThan(10)
      }, soon)
      expect(await host.run(sandbox, 'echo lives')).toBe('lives')
      bomb.exit.catch(() => undefined) // Ended with its sandbox.
    } finally {
      await governing.end()
    }
  }, 60_000)

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
      if (resources.abilities.holdKiller) await resources.act({ kind: 'hold-killer', id, held: true }, signal)
      await resources.act({ kind: 'freeze', id, frozen: true, reason: 'memory' }, signal)
      console.log('held')
      setInterval(() => undefined, 1000)
    `

    test('leaves nobody frozen, and the kernel its killer', async () => {
      const { id } = host.sandboxes[0] as Sandbox
      const holds = host.resources.abilities.holdKiller
      const isHeld = () => /^oom_kill_disable 1$/m.test(host.read(id, 'memory.oom_control'))
      const isInnerHeld = () => /^oom_kill_disable 1$/m.test(host.read(id, 'inner/memory.oom_control'))
      await host.driver.close()
      const runner = spawn(
        process.execPath,
        ['--input-type=module', '-e', RUNNER, host.dir, host.shortId, id],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      )
      const gone = new Promise(resolve => runner.once('exit', resolve))
      try {
        expect(String(await first(runner.stdout))).toBe('held\n')
        if (holds) {
          expect(isHeld()).toBe(true)
          // Made by whoever works inside at that moment: it has inherited that.
          mkdirSync(host.file(id, 'inner'))
          expect(isInnerHeld()).toBe(true)
        }
      } finally {
        runner.kill('SIGKILL')
        await gone
      }
      if (holds) await vi.waitFor(() => expect([isHeld(), isInnerHeld()]).toEqual([false, false]), soon)
      await host.open()
      const found = await host.driver.find(id)
      await vi.waitFor(async () => expect((await host.sampleOf(id)).isFrozen).toBe(false), soon)
      expect(await host.run(found as Sandbox, 'echo lives')).toBe('lives')
    })
  })
})
