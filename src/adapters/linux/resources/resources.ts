// A Linux host's resources: what governors see and do. One file for each kind of act.
import { join } from 'node:path'
import type { SandboxId } from '../../../core/driver.ts'
import type { Act, CpuLimits } from '../../../core/governor/act.ts'
import type { HostResources, ResourceAbilities } from '../../../core/governor/host-resources.ts'
import type { HostSample, JobSample, ProcessSample } from '../../../core/governor/sample.ts'
import type { Clock, Millis } from '../../../lib/clock.ts'
import type { Log } from '../../../lib/log.ts'
import { SHORT_TURN_MS, Turns } from '../../../lib/turns.ts'
import type { Cgroups } from '../cgroups.ts'
import type { Freezer } from '../freezer.ts'
import { remakeGroups } from '../groups.ts'
import { KEEPERS } from '../host.ts'
import { cgroupPath, type Layout } from '../layout.ts'
import { detectAbilities } from './abilities.ts'
import { cpu, resetCpu } from './cpu.ts'
import { freeze } from './freeze.ts'
import type { Carry, Ground } from './ground.ts'
import { Guardian } from './guardian.ts'
import { freeForgotten, freeOwn, io } from './io.ts'
import { countJobs, EMPTY_BOOK, type JobBook, type Look } from './jobs.ts'
import { kill } from './kill.ts'
import { membersOf } from './members.ts'
import { holdKiller, memory, resetKiller } from './memory.ts'
import { move } from './move.ts'
import { readStat } from './process-stat.ts'
import { processesOf } from './processes.ts'
import { Reclaims, reclaim } from './reclaim.ts'
import { Senses } from './senses.ts'

export interface ResourcesOptions {
  readonly layout: Layout
  readonly cgroups: Cgroups
  readonly freezer: Freezer
  /** cgroup.procs of the groups that helpers live in. */
  readonly helperCgroups: readonly string[]
  readonly clock: Clock
  readonly log: Log
}

const CARRY: { readonly [Kind in Act['kind']]: Carry<Kind> } = {
  cpu,
  io,
  move,
  memory,
  reclaim,
  freeze,
  'hold-killer': holdKiller,
  kill,
}

const HEAL_MS: Millis = 1_000

export class LinuxResources implements HostResources {
  readonly abilities: ResourceAbilities
  readonly #ground: Ground
  readonly #senses: Senses
  readonly #books = new Map<SandboxId, JobBook>()
  /** Those that something was done to, until they are gone. */
  readonly #known = new Set<SandboxId>()
  /** As they were last set, for groups that must be made again. */
  readonly #limits = new Map<SandboxId, CpuLimits>()

  private constructor(ground: Ground) {
    this.abilities = ground.abilities
    this.#ground = ground
    this.#senses = new Senses(ground)
  }

  static async open(options: ResourcesOptions): Promise<LinuxResources> {
    const { layout, cgroups, freezer, helperCgroups, clock, log } = options
    const guardian = new Guardian({
      lockFile: join(layout.runtime, 'guardian.lock'),
      cgroupFiles: helperCgroups,
      ...{ clock, log },
    })
    await guardian.open()
    freezer.guard = guardian
    const reclaims = new Reclaims()
    freezer.onWake = id => reclaims.stop(id)
    const abilities = await detectAbilities(cgroups, cgroupPath(layout, KEEPERS))
    const ground: Ground = {
      layout,
      cgroups,
      abilities,
      guardian,
      freezer,
      reclaims,
      throttled: new Map(),
      log,
    }
    await freeOwn(ground)
    const resources = new LinuxResources(ground)
    for (const id of resources.#senses.running()) {
      resetCpu(ground, id)
      await resetKiller(ground, id)
    }
    return resources
  }

  async sense(): Promise<HostSample> {
    await freeForgotten(this.#ground)
    const sample = await this.#senses.look()
    for (const id of this.#senses.maimed()) {
      // One without processes is just being made, or removed.
      if ((sample.environments.get(id)?.processes ?? 0) > 0) await this.#heal(id)
    }
    for (const id of this.#known) if (!sample.environments.has(id)) await this.#forget(id)
    return sample
  }

  async #forget(id: SandboxId): Promise<void> {
    for (const kept of [this.#known, this.#limits, this.#books]) kept.delete(id)
    // Without a guardian nobody is held up either.
    await this.#ground.guardian.forget(`${cgroupPath(this.#ground.layout, id)}/`).catch(() => undefined)
  }

  /** Makes again what somebody inside has removed, as it was. */
  async #heal(id: SandboxId): Promise<void> {
    const { cgroups, layout, log } = this.#ground
    try {
      await remakeGroups(cgroups, cgroupPath(layout, id))
      this.#senses.expire(id)
      const limits = this.#limits.get(id)
      if (limits !== undefined)
        await cpu(this.#ground, { kind: 'cpu', id, limits }, AbortSignal.timeout(HEAL_MS))
    } catch (error) {
      log.warn({ id, error: String(error) }, 'control groups of an environment not made again')
    }
  }

  async jobs(id: SandboxId): Promise<readonly JobSample[]> {
    const turns = new Turns(SHORT_TURN_MS)
    const looks: Look[] = []
    for (const member of membersOf(this.#ground, id)) {
      await turns.next()
      const stat = readStat(member.pid)
      if (stat !== undefined) looks.push({ ...stat, in: member.in, isFromSession: member.isFromSession })
    }
    const { book, jobs } = countJobs(id, this.#books.get(id) ?? EMPTY_BOOK, looks)
    if (looks.length === 0) this.#books.delete(id)
    else this.#books.set(id, book)
    return jobs
  }

  processes(id: SandboxId): Promise<readonly ProcessSample[]> {
    return processesOf(this.#ground, id)
  }

  async act(act: Act, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    // Each kind has its own; that they belong together is what the type of the table says.
    await (CARRY[act.kind] as Carry<Act['kind']>)(this.#ground, act, signal)
    this.#known.add(act.id)
    if (act.kind === 'cpu') this.#limits.set(act.id, act.limits)
    else this.#senses.expire(act.id)
  }

  wake(id: SandboxId): Promise<void> {
    return this.#ground.freezer.wake(id)
  }

  async release(): Promise<void> {
    await this.#ground.freezer.wakeAll()
    await this.#ground.guardian.release()
    for (const id of this.#senses.running()) this.#senses.expire(id)
  }

  /** Undoes everything and lets go of what was kept open. */
  async close(): Promise<void> {
    this.#senses.close()
    await this.#ground.guardian.close()
  }
}
