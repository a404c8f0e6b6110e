// What every act stands on.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SandboxId } from '../../../core/driver.ts'
import type { Act } from '../../../core/governor/act.ts'
import type { ResourceAbilities } from '../../../core/governor/host-resources.ts'
import type { Log } from '../../../lib/log.ts'
import { type Cgroups, hierarchyOf } from '../cgroups.ts'
import type { Freezer } from '../freezer.ts'
import { cgroupPath, type Layout } from '../layout.ts'
import type { Guardian } from './guardian.ts'
import type { Throttled } from './io.ts'
import type { Reclaims } from './reclaim.ts'

export interface Ground {
  readonly layout: Layout
  readonly cgroups: Cgroups
  readonly abilities: ResourceAbilities
  readonly guardian: Guardian
  readonly freezer: Freezer
  readonly reclaims: Reclaims
  /** Devices that are limited in a group that is not ours alone. */
  readonly throttled: Throttled
  readonly log: Log
}

/** Carries out one kind of act. What is gone is no error. */
export type Carry<Kind extends Act['kind']> = (
  ground: Ground,
  act: Extract<Act, { kind: Kind }>,
  signal: AbortSignal,
) => Promise<void>

/**
 * The folder of a sandbox's own group, or of one below it, in the hierarchy that has `controller`; undefined where the
 * kernel has none.
 */
export function groupDir(
  { cgroups, layout }: Pick<Ground, 'cgroups' | 'layout'>,
  controller: string,
  id: SandboxId,
  group = '',
): string | undefined {
  const root = hierarchyOf(cgroups, controller)
  return root === undefined ? undefined : join(root, cgroupPath(layout, id), group)
}

/** Codes of errors that say: the group, or the file for want of a controller, is not there (any more). */
const GONE = new Set(['ENOENT', 'ENODEV'])

/** Writes a control file; false when it is not there (any more). */
export async function put(file: string, value: string): Promise<boolean> {
  try {
    await writeFile(file, value, { flag: 'r+' })
    return true
  } catch (error) {
    if (GONE.has((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}

/**
 * Writes a value that holds somebody up, with `loose` written in its place when this process ends. `entry`: of a file with
 * several, which of them both set.
 */
export async function tighten(
  { guardian }: Ground,
  file: string,
  value: string,
  loose: string,
  entry = '',
): Promise<boolean> {
  await guardian.hold(file, loose, entry)
  const isThere = await put(file, value)
  if (!isThere) await guardian.drop(file, entry)
  return isThere
}

/** Writes a value that holds nobody up any more. */
export async function loosen(
  { guardian }: Ground,
  file: string,
  value: string,
  entry = '',
): Promise<boolean> {
  const isThere = await put(file, value)
  await guardian.drop(file, entry)
  return isThere
}
