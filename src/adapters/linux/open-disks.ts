import { existsSync } from 'node:fs'
import type { SandboxId } from '../../core/driver.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { Cgroups } from './cgroups.ts'
import { DiskImages } from './disk-images.ts'
import { DIRECTORY_COST } from './disk-mode.ts'
import type { DiskStore } from './disk-store.ts'
import { DiskTrees } from './disk-trees.ts'
import { freezerOf } from './freezer.ts'
import { cgroupPath, type Layout, runtimePaths } from './layout.ts'
import type { RoomKeeper } from './room-keeper.ts'

export interface OpenDisksOptions {
  readonly layout: Layout
  /** The folder that the pool lies in. */
  readonly parent: string
  readonly cgroups: Cgroups
  readonly clock: Clock
  readonly log: Log
  readonly room: RoomKeeper
  readonly isRunning: (id: SandboxId) => Promise<boolean>
}

/** What keeps the disks of that pool. */
export function openDisks(options: OpenDisksOptions): DiskStore {
  const { layout, parent, cgroups, clock, log, room, isRunning } = options
  if (layout.disks === 'image') return new DiskImages({ layout, parent, clock })
  log.warn({ pool: layout.pool }, `disks are folders: ${DIRECTORY_COST}`)
  const stateOf = async (id: SandboxId) => {
    if (await isRunning(id)) return 'running'
    const dirs = (['sandbox', 'job'] as const).map(kind => runtimePaths(layout, id, kind).dir)
    return dirs.some(existsSync) ? 'between' : 'stopped'
  }
  const freezer = (id: SandboxId) => freezerOf(cgroups, cgroupPath(layout, id))
  return new DiskTrees({ layout, parent, clock, stateOf, freezer, holding: id => room.holding(id) })
}
