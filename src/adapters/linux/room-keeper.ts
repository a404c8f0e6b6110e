// Looks after the room on the host: a look four times a second, which costs two system calls while there is plenty.
import { readFile } from 'node:fs/promises'
import type { Room, SandboxId } from '../../core/driver.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { toFault } from '../../lib/fault.ts'
import { isUuid } from '../../lib/ids.ts'
import type { Log } from '../../lib/log.ts'
import type { Cgroups } from './cgroups.ts'
import { diskUsage } from './disk-images.ts'
import { groupsIn, setHeld } from './freezer.ts'
import { trimDisk } from './keeper-request.ts'
import { cgroupPath, diskImage, type Layout, runtimePaths } from './layout.ts'
import { freeBytes, limitsOf } from './pool.ts'
import { decideRoom, dirtyBytes } from './room-plan.ts'

export interface RoomKeeperOptions {
  readonly layout: Layout
  /** The folder that the pool lies in. */
  readonly parent: string
  readonly cgroups: Cgroups
  readonly clock: Clock
  readonly log: Log
}

// A writer of 2 GB/s takes a reserve of half a gigabyte in one such pause.
const LOOK_MS: Millis = 250
// A trim walks over all that is free inside.
const TRIM_MS: Millis = 60_000
// As often without need, so that what is deleted inside does not stay taken for ever.
const IDLE_TRIM_MS: Millis = 15 * 60_000

export class RoomKeeper {
  readonly #options: RoomKeeperOptions
  #held: ReadonlySet<SandboxId> = new Set()
  /** Those that are to end: they are let go, so that they can. */
  readonly #ending = new Set<SandboxId>()
  /** How many copies are made of it by holding it. */
  readonly #copied = new Map<SandboxId, number>()
  readonly #used = new Map<SandboxId, number>()
  #trimmedMs: Millis

  constructor(options: RoomKeeperOptions) {
    this.#options = options
    this.#trimmedMs = options.clock.now()
  }

  /** Looks until `signal` aborts; calls `onChange` at first and after every change. */
  async run(onChange: (room: Room) => void, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options
    let said = ''
    while (!signal.aborted) {
      try {
        const room = await this.#look(signal)
        const summary = JSON.stringify([room.admits, [...room.held].sort()])
        if (summary !== said) onChange(room)
        said = summary
      } catch (error) {
        const { code, message } = toFault(error)
        log.warn({ code, message }, 'room not looked after')
      }
      await clock.sleep(LOOK_MS, signal).catch(() => undefined) // Aborted: the loop sees it.
    }
  }

  /** Lets it go, and does not hold it up again, until `isEnding` is false. */
  async ending(id: SandboxId, isEnding: boolean): Promise<void> {
    const { cgroups, layout } = this.#options
    if (!isEnding) return void this.#ending.delete(id)
    this.#ending.add(id)
    await setHeld(cgroups, cgroupPath(layout, id), false)
  }

  async #look(signal: AbortSignal): Promise<Room> {
    const { layout, parent, cgroups, clock } = this.#options
    const limits = await limitsOf(parent)
    const free = (await freeBytes(parent, layout.pool)) - dirtyBytes(await readFile('/proc/meminfo', 'utf8'))
    const isLow = free < limits.lowBytes
    // With plenty of room nobody's growth matters; who was held up by an earlier runner is looked for once.
    const ids = isLow || this.#held.size > 0 ? await this.#running() : []
    const growth = new Map<SandboxId, number>()
    for (const id of ids) growth.set(id, await this.#growthOf(id))
    const { admits, hold, trims } = decideRoom({ freeBytes: free, growth, held: this.#held }, limits)
    const held = new Set(ids.filter(id => hold.has(id) && !this.#ending.has(id)))
    for (const id of held) await setHeld(cgroups, cgroupPath(layout, id), true)
    const freed = [...this.#held].filter(id => !held.has(id))
    this.#held = held
    for (const id of freed) await this.#release(id)
    if (clock.now() - this.#trimmedMs > (trims ? TRIM_MS : IDLE_TRIM_MS)) {
      this.#trimmedMs = clock.now()
      // Beside the looks, which must not wait for it.
      void this.#trim(signal)
    }
    return { freeBytes: free, admits, held }
  }

  /** Lets everybody go whom an earlier runner held up and was killed; those who must wait are found again at once. */
  async releaseAll(): Promise<void> {
    for (const id of await this.#running()) await this.#release(id)
  }

  /** Does not let it go until what is returned is called, except to end it. */
  holding(id: SandboxId): () => Promise<void> {
    this.#copied.set(id, (this.#copied.get(id) ?? 0) + 1)
    return async () => {
      const left = (this.#copied.get(id) ?? 1) - 1
      if (left > 0) return void this.#copied.set(id, left)
      this.#copied.delete(id)
      const { cgroups, layout } = this.#options
      await setHeld(cgroups, cgroupPath(layout, id), this.#held.has(id) && !this.#ending.has(id))
    }
  }

  async #release(id: SandboxId): Promise<void> {
    const { cgroups, layout } = this.#options
    if (!this.#copied.has(id)) await setHeld(cgroups, cgroupPath(layout, id), false)
  }

  async #running(): Promise<SandboxId[]> {
    return (await groupsIn(this.#options.cgroups, cgroupPath(this.#options.layout, ''))).filter(isUuid)
  }

  // What folders grow by would be a look at every file: whoever has one counts as a writer.
  async #growthOf(id: SandboxId): Promise<number> {
    if (this.#options.layout.disks === 'directory') return Number.POSITIVE_INFINITY
    const used = (await diskUsage(diskImage(this.#options.layout, id)))?.usedBytes ?? 0
    const before = this.#used.get(id) ?? used
    this.#used.set(id, used)
    return used - before
  }

  async #trim(signal: AbortSignal): Promise<void> {
    const { layout, clock, log } = this.#options
    // Free space in folders is the host's already.
    if (layout.disks === 'directory') return
    let bytes = 0
    for (const id of await this.#running()) {
      // One that is held up, or ends, is trimmed the next time.
      bytes += await trimDisk(runtimePaths(layout, id).socket, clock, signal).catch(() => 0)
      if (signal.aborted) return
    }
    log.debug({ bytes }, 'trimmed what is free inside')
  }
}
