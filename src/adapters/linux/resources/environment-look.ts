// Looks at one environment, at the price of what has changed: usage of processors every time, the rest only when it used
// some, or not for a while.
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { SandboxId } from '../../../core/driver.ts'
import type { EnvironmentSample, Pressure } from '../../../core/governor/sample.ts'
import type { Millis } from '../../../lib/clock.ts'
import { hierarchyOf } from '../cgroups.ts'
import { SESSION, WORK } from '../groups.ts'
import { cgroupPath } from '../layout.ts'
import { type Ground, groupDir } from './ground.ts'
import { KeptFile } from './kept-file.ts'
import { keyed, numberOf, stallsOf } from './parse.ts'
import { TrafficLook } from './traffic-look.ts'

/** Less than that since the last close look is what an idle machine uses: nothing else has changed that matters. */
const QUIET_US = 1_000
/** Memory can be taken from somebody who does nothing. */
const CLOSE_LOOK_MS: Millis = 2_000
/** What somebody wrote is on its way to the disk for so long after. */
const AWAKE_MS: Millis = 10_000
/** Less than this part of its ceiling is far from it. */
const NEARLY_FULL = 0.9
/** A process that waits for a disk is frozen when that has answered. */
const RESTLESS_MS: Millis = 1_000

type Detail = Omit<EnvironmentSample, 'id' | 'cpu'> & {
  readonly throttledUs: number
  readonly throttledTimes: number
}

export class EnvironmentLook {
  readonly #id: SandboxId
  readonly #files: { readonly [Name in FileName]: KeptFile | undefined }
  readonly #traffic: TrafficLook
  readonly #memoryDir: string | undefined
  #detail: Detail | undefined
  #closeUs = 0
  #closeMs = 0
  #restlessMs = 0
  #awakeMs = -Infinity
  #sessionUs = 0
  #isMaimed = false

  constructor(ground: Pick<Ground, 'cgroups' | 'layout' | 'abilities'>, id: SandboxId) {
    this.#id = id
    // Where it matters only: see `isDivided` of a sample.
    this.#memoryDir = ground.abilities.holdKiller ? groupDir(ground, 'memory', id) : undefined
    this.#files = filesOf(ground, id)
    this.#traffic = new TrafficLook(ground.layout, id)
  }

  /** Somebody has acted: looks are close for a while, for what he asked for takes the kernel a moment. */
  expire(nowMs: Millis): void {
    this.#restlessMs = nowMs + RESTLESS_MS
  }

  /** Undefined when it is gone. */
  look(nowMs: Millis): EnvironmentSample | undefined {
    const usage = this.#files.usage?.read()
    if (usage === undefined) return undefined
    const usageUs = microseconds(usage)
    const isQuiet =
      usageUs - this.#closeUs < QUIET_US && nowMs - this.#closeMs < CLOSE_LOOK_MS && nowMs >= this.#restlessMs
    if (this.#detail === undefined || !isQuiet) {
      if (usageUs - this.#closeUs >= QUIET_US || nowMs < this.#restlessMs) this.#awakeMs = nowMs
      this.#detail = this.#lookClosely(nowMs, nowMs - this.#awakeMs < AWAKE_MS)
      this.#closeUs = usageUs
      this.#closeMs = nowMs
      // Counters only grow, and one that was removed and made again begins anew.
      const session = this.#files.session?.read()
      this.#isMaimed = session === undefined
      this.#sessionUs = Math.max(this.#sessionUs, microseconds(session ?? '0'))
    }
    const { throttledUs, throttledTimes, ...rest } = this.#detail
    const cpu = { usageUs, sessionUs: this.#sessionUs, throttledUs, throttledTimes }
    return { id: this.#id, cpu, ...rest, memory: isQuiet ? this.#stuck(rest.memory) : rest.memory }
  }

  /** Somebody inside has removed a group of ours. */
  get isMaimed(): boolean {
    return this.#isMaimed
  }

  /**
   * Who waits for memory uses no processor: where the kernel's killer is held back, nobody else sees that. Who was far from
   * its ceiling, which counts swap as well, uses some on the way there.
   */
  #stuck(memory: EnvironmentSample['memory']): EnvironmentSample['memory'] {
    const taken = memory.bytes + (memory.swapBytes ?? 0)
    if (memory.isStuck === undefined || taken < memory.limitBytes * NEARLY_FULL) return memory
    return { ...memory, isStuck: keyed(this.#files.oom?.read() ?? '', 'under_oom') === 1 }
  }

  /** A folder has a link from each folder in it, and two of its own. */
  #isDivided(): boolean {
    if (this.#memoryDir === undefined) return false
    return (statSync(this.#memoryDir, { throwIfNoEntry: false })?.nlink ?? 0) > 2
  }

  close(): void {
    for (const file of Object.values(this.#files)) file?.close()
    this.#traffic.close()
  }

  #lookClosely(nowMs: Millis, isAwake: boolean): Detail {
    const read = (name: FileName): string => this.#files[name]?.read() ?? ''
    const stats = [read('throttling'), read('workThrottling')]
    const sum = (of: (text: string) => number | undefined) =>
      stats.reduce((total, text) => total + (of(text) ?? 0), 0)
    const memory = Number.parseInt(read('memory') || '0', 10)
    const swap = this.#swap(memory)
    const limit = read('limit')
    const oom = read('oom')
    const pressure = this.#pressure()
    return {
      // Nanoseconds in version 1.
      throttledUs: sum(
        text => keyed(text, 'throttled_usec') ?? Math.floor((keyed(text, 'throttled_time') ?? 0) / 1000),
      ),
      throttledTimes: sum(text => keyed(text, 'nr_throttled')),
      memory: {
        bytes: memory,
        ...(swap === undefined ? {} : { swapBytes: swap }),
        limitBytes: limit === '' ? Infinity : numberOf(limit),
        oomKills: keyed(oom, 'oom_kill') ?? 0,
        ...(this.#isDivided() ? { isDivided: true } : {}),
        ...(keyed(oom, 'oom_kill_disable') === 1 ? { isStuck: keyed(oom, 'under_oom') === 1 } : {}),
      },
      ...this.#traffic.look(nowMs, isAwake),
      processes: Number.parseInt(read('pids') || '0', 10),
      processesRefused: keyed(read('pidsEvents'), 'max') ?? 0,
      ...(pressure === undefined ? {} : { pressure }),
      isFrozen: /^(frozen 1|FROZEN)$/m.test(read('frozen')),
    }
  }

  #swap(memory: number): number | undefined {
    const swap = this.#files.swap?.read()
    if (swap !== undefined) return Number.parseInt(swap, 10)
    const both = this.#files.memoryAndSwap?.read()
    return both === undefined ? undefined : Math.max(0, Number.parseInt(both, 10) - memory)
  }

  #pressure(): Pressure | undefined {
    const { cpuPressure, memoryPressure, ioPressure } = this.#files
    const [cpu, memory, io] = [cpuPressure?.read(), memoryPressure?.read(), ioPressure?.read()]
    if (cpu === undefined) return undefined
    return {
      cpu: stallsOf(cpu),
      ...(memory === undefined ? {} : { memory: stallsOf(memory) }),
      ...(io === undefined ? {} : { io: stallsOf(io) }),
    }
  }
}

type FileName =
  | 'usage'
  | 'session'
  | 'throttling'
  | 'workThrottling'
  | 'memory'
  | 'swap'
  | 'memoryAndSwap'
  | 'limit'
  | 'oom'
  | 'pids'
  | 'pidsEvents'
  | 'frozen'
  | 'cpuPressure'
  | 'memoryPressure'
  | 'ioPressure'

/** Of version 2 when it stands alone: one file says usage and throttling. */
function filesOf(
  { cgroups, layout, abilities }: Pick<Ground, 'cgroups' | 'layout' | 'abilities'>,
  id: SandboxId,
): { readonly [Name in FileName]: KeptFile | undefined } {
  const isV2 = cgroups.mode === 'v2'
  const file = (root: string | undefined, ...names: string[]) =>
    root === undefined ? undefined : new KeptFile(join(root, cgroupPath(layout, id), ...names))
  const of = (controller: string, ...names: string[]) => file(hierarchyOf(cgroups, controller), ...names)
  const counts = isV2 ? 'cpu.stat' : 'cpuacct.usage'
  const pressure = (name: string) => (abilities.pressure ? file(cgroups.unified, name) : undefined)
  return {
    usage: of(isV2 ? 'cpu' : 'cpuacct', counts),
    session: of(isV2 ? 'cpu' : 'cpuacct', SESSION, counts),
    throttling: of('cpu', 'cpu.stat'),
    workThrottling: of('cpu', WORK, 'cpu.stat'),
    memory: of('memory', isV2 ? 'memory.current' : 'memory.usage_in_bytes'),
    swap: isV2 && abilities.swap !== 'none' ? of('memory', 'memory.swap.current') : undefined,
    memoryAndSwap:
      isV2 || abilities.swap === 'none' ? undefined : of('memory', 'memory.memsw.usage_in_bytes'),
    limit: of('memory', isV2 ? 'memory.max' : 'memory.limit_in_bytes'),
    oom: of('memory', isV2 ? 'memory.events' : 'memory.oom_control'),
    pids: of('pids', 'pids.current'),
    pidsEvents: of('pids', 'pids.events'),
    frozen:
      cgroups.unified === undefined
        ? file(cgroups.controllers.get('freezer'), 'freezer.state')
        : file(cgroups.unified, 'cgroup.events'),
    cpuPressure: pressure('cpu.pressure'),
    memoryPressure: pressure('memory.pressure'),
    ioPressure: pressure('io.pressure'),
  }
}

// Version 1 counts nanoseconds.
const microseconds = (text: string): number =>
  keyed(text, 'usage_usec') ?? Math.floor(Number.parseInt(text, 10) / 1000)
