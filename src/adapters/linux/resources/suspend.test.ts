// Environments that nobody needs at the moment: pushed out, suspended, and there again at the first word.
import { describe, expect, test, vi } from 'vitest'
import { whyNoSandboxes } from '../../../../test/support/host.ts'
import { titled } from '../../../../test/support/requirements.ts'
import { first, hasZram, MEMORY, smallHost, soon } from '../../../../test/support/small-host.ts'
import type { Sandbox } from '../../../core/driver.ts'
import { memory } from '../../../core/governor/memory.ts'
import { suspend } from '../../../core/governor/suspend.ts'

const MIB = 2 ** 20
const why = whyNoSandboxes()

describe.skipIf(why !== undefined)(titled('environments that sleep', why), () => {
  const host = smallHost()
  const signal = () => AbortSignal.timeout(60_000)

  test.skipIf(!hasZram)('what an idle one has is pushed out, and comes back', async () => {
    const sandbox = host.sandboxes[0] as Sandbox
    const stream = await host.start(sandbox, `${host.eater(100)}`)
    await first(stream.stdout)
    expect(host.bytesOf(sandbox.id)).toBeGreaterThan(100 * MIB)
    await host.act({ kind: 'reclaim', id: sandbox.id, bytes: 40 * MIB })
    expect(host.bytesOf(sandbox.id)).toBeLessThan(90 * MIB)
    const limit = host.read(sandbox.id, host.cgroups.mode === 'v2' ? 'memory.max' : 'memory.limit_in_bytes')
    expect(Number(limit)).toBe(MEMORY)
    await host.act({ kind: 'freeze', id: sandbox.id, frozen: true, reason: 'idle' })
    await host.act({ kind: 'reclaim', id: sandbox.id, bytes: 1024 * MIB })
    expect(host.bytesOf(sandbox.id)).toBeLessThan(20 * MIB)
    expect((await host.sampleOf(sandbox.id)).memory.swapBytes).toBeGreaterThan(60 * MIB)
    await host.resources.wake(sandbox.id)
    expect(await host.run(sandbox, 'echo awake')).toBe('awake')
  })

  test.skipIf(!hasZram)(
    'an idle one is suspended and pushed out, and the first command wakes it',
    async () => {
      const sandbox = host.sandboxes[0] as Sandbox
      const stream = await host.start(sandbox, `${host.eater(100)}`)
      await first(stream.stdout)
      let connections = 0
      const suspendAfterMs = 1_000
      const governing = host.govern([memory, suspend], {
        terms: terms => ({ ...terms, connections, suspendAfterMs, heardMs: 0 }),
      })
      try {
        await vi.waitFor(async () => {
          expect(await host.sampleOf(sandbox.id)).toMatchObject({ isFrozen: true })
          expect(host.bytesOf(sandbox.id)).toBeLessThan(20 * MIB)
        }, soon)
        connections = 1
        const sinceMs = performance.now()
        await host.resources.wake(sandbox.id)
        expect(performance.now() - sinceMs).toBeLessThan(100)
        expect(await host.run(sandbox, 'echo awake')).toBe('awake')
        await vi.waitFor(
          () =>
            expect(governing.done.map(({ act: one, why: reason }) => [one.kind, reason])).toContainEqual([
              'freeze',
              'somebody came',
            ]),
          soon,
        )
        expect((await host.sampleOf(sandbox.id)).isFrozen).toBe(false)
      } finally {
        await governing.end()
      }
    },
    60_000,
  )

  test('what is typed at a terminal that was open all the while is answered, and was not lost', async () => {
    const sandbox = host.sandboxes[0] as Sandbox
    const tty = { columns: 80, rows: 24 }
    const terminal = await sandbox.exec(
      { argv: ['/bin/sh', '-c', 'stty -echo; echo ready; exec cat'], tty },
      signal(),
    )
    await vi.waitFor(() => expect(String(terminal.stdout.read() ?? '')).toContain('ready'), soon)
    await host.act({ kind: 'freeze', id: sandbox.id, frozen: true, reason: 'memory' })
    await host.act({ kind: 'reclaim', id: sandbox.id, bytes: 1024 * MIB })
    await vi.waitFor(async () => expect((await host.sampleOf(sandbox.id)).isFrozen).toBe(true), soon)
    terminal.stdin.write('first\n')
    const sinceMs = performance.now()
    await host.resources.wake(sandbox.id)
    await vi.waitFor(() => expect(String(terminal.stdout.read() ?? '')).toContain('first'), {
      ...soon,
      interval: 1,
    })
    // About a millisecond; this is a machine with other tests on it.
    expect(performance.now() - sinceMs).toBeLessThan(1_000)
    terminal.stdin.end()
    await terminal.exit
  })

  test('a command that comes while it is suspended needs nobody else to wake it', async () => {
    const sandbox = host.sandboxes[0] as Sandbox
    await host.act({ kind: 'freeze', id: sandbox.id, frozen: true, reason: 'idle' })
    await host.act({ kind: 'freeze', id: sandbox.id, frozen: true, reason: 'memory' })
    await vi.waitFor(async () => expect((await host.sampleOf(sandbox.id)).isFrozen).toBe(true), soon)
    expect(await host.run(sandbox, 'echo awake')).toBe('awake')
    await host.act({ kind: 'freeze', id: sandbox.id, frozen: true, reason: 'idle' })
    await expect(sandbox.dial(9, signal())).rejects.toMatchObject({ code: 'port-refused' })
    await vi.waitFor(async () => expect((await host.sampleOf(sandbox.id)).isFrozen).toBe(false), soon)
  })

  test.skipIf(!hasZram)(
    'of two that want more than there is, the idle one makes room, and nobody is killed',
    async () => {
      host.sandboxes.push(await host.make())
      const [busy, idle] = host.sandboxes as [Sandbox, Sandbox]
      const streams = await Promise.all(
        host.sandboxes.map(each => host.start(each, `read -r x; ${host.eater(110)}`, 'work')),
      )
      for (const { stdin } of streams) stdin.end('\n')
      for (const { stdout } of streams) await first(stdout)
      const taken = () => host.bytesOf(busy.id) + host.bytesOf(idle.id)
      // As on a host where these two have left one twelfth; a second is a minute there, so that who is idle is so at once.
      const totalBytes = Math.floor(taken() * (12 / 11))
      const governing = host.govern([memory], {
        terms: terms => (terms.id === busy.id ? terms : { ...terms, connections: 0, heardMs: 0 }),
        host: seen => ({
          ...seen,
          atMs: seen.atMs * 60,
          memory: { ...seen.memory, totalBytes, availableBytes: Math.max(0, totalBytes - taken()) },
        }),
      })
      try {
        await vi.waitFor(() => expect(host.bytesOf(idle.id)).toBeLessThan(30 * MIB), soon)
        expect(host.bytesOf(busy.id)).toBeGreaterThan(110 * MIB)
        expect(governing.killed()).toEqual([])
        const pushed = () =>
          governing.done.find(({ act: one }) => one.kind === 'reclaim' && one.id === idle.id)
        await vi.waitFor(() => expect(pushed()).toBeDefined(), soon)
        expect(pushed()?.why).toMatch(/^idle, and memory is short: \d+ MiB of \d+ MiB left on the host$/)
        for (const each of host.sandboxes) expect(await host.run(each, 'echo lives')).toBe('lives')
      } finally {
        await governing.end()
      }
    },
    60_000,
  )
})
