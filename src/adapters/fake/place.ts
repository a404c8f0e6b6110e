import { join } from 'node:path'
import type { SandboxId, SnapshotId } from '../../core/driver.ts'
import { Fault } from '../../lib/fault.ts'
import { isUuid } from '../../lib/ids.ts'
import { SANDBOX_VARIABLE } from './processes.ts'

/** Where an environment of the fake driver lives on the host. */
export interface Place {
  readonly id: SandboxId
  readonly root: string
  readonly disk: string
  readonly workspaces: string
  readonly home: string
  /** Says which sandbox runs; see SandboxRecord. */
  readonly record: string
}

/** Faults with `malformed` unless `id` is a uid: it becomes a file name. */
export function placeOf(dir: string, id: SandboxId): Place {
  if (!isUuid(id))
    throw new Fault('malformed', 'sandbox-id-malformed', `'${id}' is not the uid of an environment`)
  const root = join(dir, id)
  const disk = join(root, 'disk')
  return {
    id,
    root,
    disk,
    workspaces: join(disk, 'workspaces'),
    home: join(disk, 'home'),
    record: join(root, 'sandbox.json'),
  }
}

export function environmentOf(place: Place, epoch: number): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '/usr/local/bin:/usr/bin:/bin',
    HOME: place.home,
    LANG: 'C.UTF-8',
    [SANDBOX_VARIABLE]: `${place.root}#${epoch}`,
  }
}

/**
 * The fake has no root file system of its own, so the one path that everybody agrees on is moved by text: wherever
 * /workspaces stands in an argument, a variable or a working directory, it becomes this environment's folder.
 */
export function relocate(text: string, place: Place): string {
  return text.replace(/(?<![\w./-])\/workspaces(?![\w-])/g, () => place.workspaces)
}

/** Where a snapshot lies. Faults with `malformed` unless `id` is a uid. */
export function snapshotPlaceOf(
  dir: string,
  id: SnapshotId,
): { readonly root: string; readonly disk: string } {
  const { root, disk } = placeOf(join(dir, SNAPSHOTS), id)
  return { root, disk }
}

/** Beside the environments' folders; no uid is called so. */
export const SNAPSHOTS = 'snapshots'
