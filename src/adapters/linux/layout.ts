import { join } from 'node:path'
import type { SandboxId, SnapshotId } from '../../core/driver.ts'
import { Fault } from '../../lib/fault.ts'
import { isUuid } from '../../lib/ids.ts'
import type { DiskMode } from './disk-mode.ts'

/**
 * Where everything of one runner lies on a host. The short id (6 characters) is part of every name that is visible
 * host-wide, so that several runners, tests included, share a machine.
 */
export interface Layout {
  readonly shortId: string
  /** On the reflink file system: what must survive a reboot. */
  readonly pool: string
  /** Below /run: what is true only while the host is up. */
  readonly runtime: string
  /** What its disks are. */
  readonly disks: DiskMode
}

export const RUN_ROOT = '/run/bothy'
export const SLOTS = join(RUN_ROOT, 'slots')

export function layoutOf(shortId: string, pool: string, disks: DiskMode = 'image'): Layout {
  if (!/^[a-z0-9]{6}$/.test(shortId))
    throw new Fault('invalid', 'short-id', `'${shortId}' is not a runner's short id`)
  return { shortId, pool, runtime: join(RUN_ROOT, shortId), disks }
}

export const environmentsDir = (layout: Layout): string => join(layout.pool, 'environments')
export const snapshotsDir = (layout: Layout): string => join(layout.pool, 'snapshots')
export const templatesDir = (layout: Layout): string => join(layout.pool, 'templates')
/** Where those listen that fork helpers for one runner process. */
export const helpersDir = (layout: Layout): string => join(layout.runtime, 'helpers')
export const runtimeState = (layout: Layout): string => join(layout.runtime, 'crun')
export const cgroupPath = (layout: Layout, leaf: string): string => `/bothy-${layout.shortId}/${leaf}`

/** The folder of an environment that survives; only UUIDs become paths. */
export function environmentDir(layout: Layout, id: SandboxId): string {
  return join(environmentsDir(layout), checked(id))
}

export const diskImage = (layout: Layout, id: SandboxId): string =>
  join(environmentDir(layout, id), 'disk.img')

/** The disk of an environment, where disks are folders. */
export const diskFolder = (layout: Layout, id: SandboxId): string => join(environmentDir(layout, id), 'disk')

/** The root of what is on a disk that is a folder. */
export const treeOf = (folder: string): string => join(folder, 'tree')

/** The folder of a snapshot. */
export function snapshotDir(layout: Layout, id: SnapshotId): string {
  return join(snapshotsDir(layout), checked(id))
}

export const snapshotImage = (layout: Layout, id: SnapshotId): string =>
  join(snapshotDir(layout, id), 'disk.img')

export const snapshotFolder = (layout: Layout, id: SnapshotId): string =>
  join(snapshotDir(layout, id), 'disk')

/** Paths of one running sandbox (or of a job, `kind` 'job'). */
export interface RuntimePaths {
  readonly dir: string
  readonly bundle: string
  readonly config: string
  readonly rootfs: string
  readonly disk: string
  /** The disk with shifted ids: what the sandbox may see. */
  readonly shifted: string
  readonly pid: string
  readonly log: string
  /** Device nodes, in the keeper's mount namespace only. */
  readonly devices: string
  readonly socket: string
  readonly exit: string
  readonly state: string
  readonly files: string
  readonly layer: (index: number) => string
}

export function runtimePaths(
  layout: Layout,
  id: SandboxId,
  kind: 'sandbox' | 'job' = 'sandbox',
): RuntimePaths {
  const dir = join(layout.runtime, kind === 'job' ? `job-${checked(id)}` : checked(id))
  return {
    dir,
    bundle: dir,
    config: join(dir, 'config.json'),
    rootfs: join(dir, 'rootfs'),
    disk: join(dir, 'disk'),
    shifted: join(dir, 'shifted'),
    pid: join(dir, 'pid'),
    log: join(dir, 'runtime.log'),
    devices: join(dir, 'devices'),
    socket: join(dir, 'keeper.sock'),
    exit: join(dir, 'exit'),
    state: join(dir, 'sandbox.json'),
    files: join(dir, 'files'),
    layer: index => join(dir, `layer${index}`),
  }
}

function checked(id: SandboxId): string {
  if (isUuid(id)) return id
  throw new Fault('invalid', 'sandbox-id', `'${id}' is not a uid`)
}
