// A Linux host's resources: what governors see and do. One file for each kind of act.
import { join } from 'node:path'
import type { SandboxId } from '../../../core/driver.ts'
import type { Act } from '../../../core/governor/act.ts'
import type { HostResources, ResourceAbilities } from '../../../core/governor/host-resources.ts'
import type { HostSample, JobSample, ProcessSample } from '../../../core/governor/sample.ts'
import type { Clock } from '../../../lib/clock.ts'
import type { Log } from '../../../lib/log.ts'
import type { Cgroups } from '../cgroups.ts'
import type { Freezer } from '../freezer.ts'
import { KEEPERS } from '../host.ts'
import { cgroupPath, type Layout } from '../layout.ts'
import { detectAbilities } from './abilities.ts'
import { cpu } from './cpu.ts'
import { freeze } from './freeze.ts'
import type { Carry, Ground } from './ground.ts'
import { Guardian } from './guardian.ts'
import { freeForgotten, freeOwn, io } from './io.ts'
import { kill } from './kill.ts'
import { holdKiller, memory } from './memory.ts'
import { countJobs, EMPTY_BOOK, type JobBook } from './jobs.ts'
import { membersOf } from './members.ts'
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

export class LinuxResources implements HostResources {
  readonly abilities: ResourceAbilities
  readonly #ground: Ground
  readonly #senses: Senses
  readonly #books = new Map<SandboxId, JobBook>()

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
    return new LinuxResources(ground)
  }

  async sense(): Promise<HostSample> {
    await freeForgotten(this.#ground)
    return this.#senses.look()
  }

  async jobs(id: SandboxId): Promise<readonly JobSample[]> {
    const looks = membersOf(this.#ground, id).flatMap(member => {
      const stat = readStat(member.pid)
      return stat === undefined ? [] : [{ ...stat, in: member.in, isFromSession: member.isFromSession }]
    })
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
    this.#senses.expire(act.id)
  }

  wake(id: SandboxId): Promise<void> {
    return this.#ground.freezer.wake(id)
  }

  async release(): Promise<void> {
    await this.#ground.guardian.release()
    for (const id of this.#senses.running()) this.#senses.expire(id)
  }

  /** Undoes everything and lets go of what was kept open. */
  async close(): Promise<void> {
    this.#senses.close()
    await this.#ground.guardian.close()
  }
}
