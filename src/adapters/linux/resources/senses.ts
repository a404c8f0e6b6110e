import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { SandboxId } from '../../../core/driver.ts'
import type { EnvironmentSample, HostSample, Pressure } from '../../../core/governor/sample.ts'
import { isUuid } from '../../../lib/ids.ts'
import { SHORT_TURN_MS, Turns } from '../../../lib/turns.ts'
import { hierarchyOf } from '../cgroups.ts'
import { cgroupPath } from '../layout.ts'
import { EnvironmentLook } from './environment-look.ts'
import type { Ground } from './ground.ts'
import { KeptFile } from './kept-file.ts'
import { KernelLog, type Shot } from './kernel-log.ts'
import { idleOf, meminfoBytes, stallsOf } from './parse.ts'

type Seeing = Pick<Ground, 'cgroups' | 'layout' | 'abilities'>

/** The eyes of governors on one host, with what they keep open. */
export class Senses {
  readonly #ground: Seeing
  readonly #looks = new Map<SandboxId, EnvironmentLook>()
  readonly #stat = new KeptFile('/proc/stat')
  readonly #meminfo = new KeptFile('/proc/meminfo')
  readonly #pressure: readonly (readonly [keyof Pressure, KeptFile])[]
  readonly #log = new KernelLog()
  /** Of each, how many the kernel has shot, and whom last. */
  readonly #shot = new Map<SandboxId, { readonly kills: number; readonly last?: Shot }>()
  #busyUs = 0

  constructor(ground: Seeing) {
    this.#ground = ground
    const resources = ground.abilities.pressure ? (['cpu', 'memory', 'io'] as const) : []
    this.#pressure = resources.map(name => [name, new KeptFile(`/proc/pressure/${name}`)])
  }

  /** Others have their turns meanwhile, keys on their way above all: what is read within a round is some milliseconds apart. */
  async look(): Promise<HostSample> {
    const turns = new Turns(SHORT_TURN_MS)
    const atMs = performance.now()
    const { cores, idleUs } = idleOf(this.#stat.read() ?? '')
    // What is not idle is busy, the time that a machine below takes away included: it cannot be given to anybody. Counted
    // by ticks it goes back a little now and then.
    this.#busyUs = Math.max(this.#busyUs, cores * uptimeUs() - idleUs)
    const meminfo = this.#meminfo.read() ?? ''
    const environments = new Map<SandboxId, EnvironmentSample>()
    for (const id of this.#running()) {
      await turns.next()
      let look = this.#looks.get(id)
      if (look === undefined) this.#looks.set(id, (look = new EnvironmentLook(this.#ground, id)))
      const sample = look.look(atMs)
      if (sample !== undefined) environments.set(id, sample)
    }
    for (const [id, look] of this.#looks) {
      if (environments.has(id)) continue
      look.close()
      this.#looks.delete(id)
      this.#shot.delete(id)
    }
    this.#nameShots(environments)
    const pressure = this.#pressure.flatMap(([name, file]) => {
      const text = file.read()
      return text === undefined ? [] : [[name, stallsOf(text)]]
    })
    return {
      atMs,
      cores,
      busyUs: this.#busyUs,
      memory: {
        totalBytes: meminfoBytes(meminfo, 'MemTotal'),
        availableBytes: meminfoBytes(meminfo, 'MemAvailable'),
        swapTotalBytes: meminfoBytes(meminfo, 'SwapTotal'),
        swapFreeBytes: meminfoBytes(meminfo, 'SwapFree'),
      },
      ...(pressure.length === 0 ? {} : { pressure: Object.fromEntries(pressure) as Pressure }),
      environments,
    }
  }

  /** The log is read when a counter says that there is something new in it. */
  #nameShots(environments: Map<SandboxId, EnvironmentSample>): void {
    const isNew = ({ id, memory }: EnvironmentSample) => memory.oomKills > (this.#shot.get(id)?.kills ?? 0)
    const shots = [...environments.values()].some(isNew) ? this.#log.shots() : []
    for (const [id, sample] of environments) {
      const path = cgroupPath(this.#ground.layout, id)
      const its = shots.findLast(({ group }) => group === path || group.startsWith(`${path}/`))
      const { oomKills: kills } = sample.memory
      const last = its ?? (kills > 0 ? this.#shot.get(id)?.last : undefined)
      this.#shot.set(id, { kills, ...(last === undefined ? {} : { last }) })
      if (last === undefined) continue
      const lastShot = { name: last.name, bytes: last.bytes }
      environments.set(id, { ...sample, memory: { ...sample.memory, lastShot } })
    }
  }

  /** The next looks at it are close ones. */
  expire(id: SandboxId): void {
    this.#looks.get(id)?.expire(performance.now())
  }

  /** Those in which a group of ours was missing when they were last looked at. */
  maimed(): readonly SandboxId[] {
    return [...this.#looks].filter(([, look]) => look.isMaimed).map(([id]) => id)
  }

  running(): readonly SandboxId[] {
    return this.#running()
  }

  close(): void {
    for (const look of this.#looks.values()) look.close()
    for (const file of [this.#stat, this.#meminfo, ...this.#pressure.map(([, each]) => each)]) file.close()
    this.#looks.clear()
    this.#log.close()
  }

  #running(): SandboxId[] {
    const { cgroups, layout } = this.#ground
    const root = hierarchyOf(cgroups, 'cpu') ?? cgroups.unified
    if (root === undefined) return []
    try {
      return readdirSync(join(root, cgroupPath(layout, ''))).filter(isUuid)
    } catch {
      return [] // Nothing was ever started here.
    }
  }
}

// Of the same clock that the kernel counts idle time by.
const uptimeUs = (): number => Math.floor(Number(process.hrtime.bigint()) / 1000)
