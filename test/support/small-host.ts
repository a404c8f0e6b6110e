// Environments of little memory on this host, over a swap device of their own, and governors that decide as in a runner.
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest'
import { type Cgroups, detectCgroups, hierarchyOf } from '../../src/adapters/linux/cgroups.ts'
import { createLinuxDriver, type LinuxDriver } from '../../src/adapters/linux/driver.ts'
import { cgroupPath, layoutOf } from '../../src/adapters/linux/layout.ts'
import { hasControl } from '../../src/adapters/linux/resources/zram.ts'
import type { Sandbox, SandboxId, UnpackedImage } from '../../src/core/driver.ts'
import type { Act, Decision } from '../../src/core/governor/act.ts'
import type { EnvironmentTerms, Governor } from '../../src/core/governor/governor.ts'
import type { HostResources } from '../../src/core/governor/host-resources.ts'
import { decideRound, looksOf, type States } from '../../src/core/governor/round.ts'
import type { HostSample } from '../../src/core/governor/sample.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { uuidv7 } from '../../src/lib/ids.ts'
import { silentLog } from '../../src/lib/log.ts'
import { leftovers, testShortId, whyNoSandboxes } from './host.ts'
import { testImage } from './image.ts'

const MIB = 2 ** 20
/** What each may take. */
export const MEMORY = 192 * MIB
export const soon = { timeout: 20_000, interval: 20 }
export const hasZram = whyNoSandboxes() === undefined && (await hasControl())

/** To be called in a `describe`: makes the host ready before its tests, with one environment for each, and clears it up. */
export function smallHost() {
  const shortId = testShortId()
  const signal = () => AbortSignal.timeout(60_000)
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

  return {
    get shortId() {
      return shortId
    },
    get dir() {
      return dir
    },
    get driver() {
      return driver
    },
    get resources() {
      return resources
    },
    get cgroups() {
      return cgroups
    },
    get sandboxes() {
      return sandboxes
    },
    ...{ open, make, start, run, eater, file, read, sampleOf, bytesOf, act, govern },
  }
}

/** What a stream says next. */
export function first(stream: NodeJS.ReadableStream): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    stream.once('data', resolve)
    stream.once('end', () => reject(new Error('it ended')))
  })
}
