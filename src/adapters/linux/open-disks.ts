import { existsSync } from 'node:fs'
import type { SandboxId } from '../../core/driver.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Limiter } from '../../lib/limiter.ts'
import type { Log } from '../../lib/log.ts'
import type { Cgroups } from './cgroups.ts'
import { DiskImages } from './disk-images.ts'
import { DIRECTORY_COST } from './disk-mode.ts'
import type { DiskStore } from './disk-store.ts'
import { DiskTrees } from './disk-trees.ts'
import { type Freezer, freezerOf } from './freezer.ts'
import { cgroupPath, type Layout, runtimePaths } from './layout.ts'

export interface OpenDisksOptions {
  readonly layout: Layout
  /** The folder that the pool lies in. */
  readonly parent: string
  readonly cgroups: Cgroups
  readonly clock: Clock
  readonly log: Log
  readonly freezer: Freezer
  /** Bounds how many are made at a time. */
  readonly copies: Limiter
  readonly isRunning: (id: SandboxId) => Promise<boolean>
}

/** What keeps the disks of that pool. */
export function openDisks(options: OpenDisksOptions): DiskStore {
  const { layout, parent, cgroups, clock, log, freezer, copies, isRunning } = options
  if (layout.disks === 'image') return new DiskImages({ layout, parent, clock, copies })
  log.warn({ pool: layout.pool }, `disks are folders: ${DIRECTORY_COST}`)
  const stateOf = async (id: SandboxId) => {
    if (await isRunning(id)) return 'running'
    const dirs = (['sandbox', 'job'] as const).map(kind => runtimePaths(layout, id, kind).dir)
    return dirs.some(existsSync) ? 'between' : 'stopped'
  }
  const group = (id: SandboxId) => freezerOf(cgroups, cgroupPath(layout, id))
  const holding = (id: SandboxId) => freezer.copying(id)
  return new DiskTrees({ layout, parent, clock, copies, stateOf, freezer: group, holding })
}
