// What the resources of every host owe to governors, seen through what they say themselves: acts are believed when the
// counters follow. Whatever misbehaves besides (a runner that is killed, groups that somebody removes) is the adapter's own
// to test.
import { text } from 'node:stream/consumers'
import { describe, expect, test, vi } from 'vitest'
import { toFault } from '../../lib/fault.ts'
import type { Sandbox, SandboxId } from '../driver.ts'
import type { Act, CpuLimits } from './act.ts'
import type { HostResources, ResourceAbilities } from './host-resources.ts'
import type { EnvironmentSample, JobSample } from './sample.ts'

export interface HostResourcesContract {
  readonly resources: () => HostResources
  /** A running sandbox of the test's own, and one that has just been destroyed. Inside there must be `/bin/sh`. */
  readonly sandbox: () => Sandbox
  readonly gone: () => Promise<SandboxId>
}

const LIMITS: CpuLimits = { weight: 100, sessionWeight: 10_000, workWeight: 100 }
const BUSY = 'while :; do :; done'
const SOON = { timeout: 20_000, interval: 20 }

/** Kinds of acts, and what they need. */
const NEEDS: readonly (readonly [
  Act['kind'],
  (abilities: ResourceAbilities) => boolean,
  (id: SandboxId) => Act,
])[] = [
  ['cpu', has => has.cpuWeights, id => ({ kind: 'cpu', id, limits: LIMITS })],
  ['freeze', has => has.freeze, id => ({ kind: 'freeze', id, frozen: false, reason: 'idle' })],
  ['reclaim', has => has.reclaim, id => ({ kind: 'reclaim', id, bytes: 2 ** 20 })],
  ['hold-killer', has => has.holdKiller, id => ({ kind: 'hold-killer', id, held: false })],
  ['move', has => has.cpuWeights, id => ({ kind: 'move', id, group: 1, startedTicks: 1, to: 'work' })],
  ['kill', () => true, id => ({ kind: 'kill', id, pid: 1, startedTicks: 1 })],
]

export function hostResourcesContract(
  name: string,
  { resources, sandbox, gone }: HostResourcesContract,
): void {
  const act = (wanted: Act) => resources().act(wanted, AbortSignal.timeout(30_000))
  const cpu = (more: Partial<CpuLimits>) =>
    act({ kind: 'cpu', id: sandbox().id, limits: { ...LIMITS, ...more } })
  const sample = async (): Promise<EnvironmentSample> => {
    const found = (await resources().sense()).environments.get(sandbox().id)
    if (found === undefined) throw new Error('the sandbox is not sensed')
    return found
  }
  /** A command that goes on until the returned function is called. */
  const start = async (script: string, group: 'session' | 'work') => {
    const ending = new AbortController()
    const stream = await sandbox().exec({ argv: ['/bin/sh', '-c', script], group }, ending.signal)
    stream.stdin.end()
    stream.stdout.resume()
    stream.stderr?.resume()
    stream.exit.catch(() => undefined)
    return () => ending.abort()
  }
  const job = async (isRight: (job: JobSample) => boolean) =>
    vi.waitUntil(async () => (await resources().jobs(sandbox().id)).find(isRight), SOON)
  const grown = async (by: (now: EnvironmentSample) => number, least: number) => {
    const from = by(await sample())
    await vi.waitUntil(async () => by(await sample()) - from >= least, SOON)
  }

  describe(`resources of ${name}`, { timeout: 60_000 }, () => {
    test('every sandbox is sensed, and time goes on', async () => {
      const before = await resources().sense()
      const after = await resources().sense()
      expect(before.environments.has(sandbox().id)).toBe(true)
      expect(after.atMs).toBeGreaterThan(before.atMs)
      expect(after.busyUs).toBeGreaterThanOrEqual(before.busyUs)
      expect(after.cores).toBeGreaterThanOrEqual(1)
      expect((await sample()).memory.limitBytes).toBeGreaterThan(0)
    })

    test('what the session uses is told from the rest', async () => {
      const stopWork = await start(BUSY, 'work')
      await grown(({ cpu: { usageUs, sessionUs } }) => usageUs - sessionUs, 200_000)
      const { sessionUs } = (await sample()).cpu
      await grown(({ cpu: { usageUs } }) => usageUs, 200_000)
      expect((await sample()).cpu.sessionUs - sessionUs).toBeLessThan(100_000)
      stopWork()
      const stopSession = await start(BUSY, 'session')
      await grown(({ cpu: each }) => each.sessionUs, 200_000)
      stopSession()
    })

    test('a job has its processes, what they use and used, and where they are', async () => {
      const stop = await start(
        'while :; do (i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done); done',
        'session',
      )
      const found = await job(({ cpuUs }) => cpuUs > 300_000)
      expect(found).toMatchObject({ environment: sandbox().id, in: 'session', isFromSession: true })
      expect(found.pids.length).toBeGreaterThan(0)
      const later = await job(({ group, cpuUs }) => group === found.group && cpuUs > found.cpuUs)
      expect(later.startedTicks).toBe(found.startedTicks)
      stop()
    })

    test('a job is moved with what it starts, and back', async () => {
      const stop = await start(
        'while :; do (i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done); done',
        'session',
      )
      const { group, startedTicks } = await job(({ cpuUs }) => cpuUs > 100_000)
      for (const to of ['work', 'session'] as const) {
        // What is started at the very moment is moved the next time.
        await vi.waitUntil(async () => {
          await act({ kind: 'move', id: sandbox().id, group, startedTicks, to })
          return (await resources().jobs(sandbox().id)).find(each => each.group === group)?.in === to
        }, SOON)
        const session = ({ cpu: each }: EnvironmentSample) => each.sessionUs
        await grown(each => (to === 'session' ? session(each) : each.cpu.usageUs - session(each)), 100_000)
      }
      expect((await job(each => each.group === group)).isFromSession).toBe(true)
      stop()
    })

    test('of another job with the same number nothing is moved', async () => {
      const stop = await start(BUSY, 'session')
      const { group, startedTicks } = await job(({ cpuUs }) => cpuUs > 50_000)
      await act({ kind: 'move', id: sandbox().id, group, startedTicks: startedTicks + 1, to: 'work' })
      expect((await job(each => each.group === group)).in).toBe('session')
      stop()
    })

    test('a meter holds work and says so, and not the session; without it nothing is held', async () => {
      await cpu({ workCores: 0.05 })
      const stopWork = await start(BUSY, 'work')
      await grown(({ cpu: { throttledUs = 0 } }) => throttledUs, 500_000)
      const stopSession = await start(BUSY, 'session')
      await grown(({ cpu: each }) => each.sessionUs, 300_000)
      stopSession()
      await cpu({})
      await grown(({ cpu: { usageUs } }) => usageUs, 300_000)
      const { throttledUs = 0 } = (await sample()).cpu
      await grown(({ cpu: { usageUs } }) => usageUs, 300_000)
      expect((await sample()).cpu.throttledUs).toBe(throttledUs)
      stopWork()
    })

    test('who is frozen does nothing until all reasons are gone, or somebody knocks', async () => {
      const stop = await start(BUSY, 'work')
      await grown(({ cpu: { usageUs } }) => usageUs, 50_000)
      const { id } = sandbox()
      const freeze = (reason: 'idle' | 'memory', frozen: boolean) =>
        act({ kind: 'freeze', id, frozen, reason })
      await freeze('idle', true)
      await freeze('memory', true)
      await freeze('memory', true)
      // Each process stops at its next way out of the kernel.
      await vi.waitUntil(async () => (await sample()).isFrozen, SOON)
      const { usageUs } = (await sample()).cpu
      await freeze('idle', false)
      expect((await sample()).isFrozen).toBe(true)
      expect((await sample()).cpu.usageUs).toBe(usageUs)
      await freeze('memory', false)
      await grown(({ cpu: each }) => each.usageUs, 50_000)
      await freeze('idle', true)
      await resources().wake(id)
      await vi.waitUntil(async () => !(await sample()).isFrozen, SOON)
      stop()
    })

    test('release undoes whatever tightens, and acts hold again after it', async () => {
      await cpu({ workCores: 0.05, cores: 0.5 })
      await act({ kind: 'freeze', id: sandbox().id, frozen: true, reason: 'idle' })
      await resources().release()
      await vi.waitUntil(async () => !(await sample()).isFrozen, SOON)
      const stop = await start(BUSY, 'work')
      await grown(({ cpu: { usageUs } }) => usageUs, 200_000)
      const { throttledUs = 0 } = (await sample()).cpu
      await grown(({ cpu: { usageUs } }) => usageUs, 200_000)
      expect((await sample()).cpu.throttledUs).toBe(throttledUs)
      stop()
      const stream = await sandbox().exec(
        { argv: ['/bin/sh', '-c', 'echo alive'] },
        AbortSignal.timeout(30_000),
      )
      stream.stdin.end()
      expect(await text(stream.stdout)).toBe('alive\n')
    })

    test.each(NEEDS)(
      '%s: what is gone is no error, what the host cannot do is unsupported',
      async (_kind, need, wanted) => {
        const id = await gone()
        expect(await resources().jobs(id)).toEqual([])
        expect(await resources().processes(id)).toEqual([])
        expect((await resources().sense()).environments.has(id)).toBe(false)
        if (need(resources().abilities)) return act(wanted(id))
        const fault = toFault(await act(wanted(sandbox().id)).catch(error => error))
        expect(fault.reason).toBe('unsupported')
      },
    )
  })
}
