// Limits of the whole machine that all environments draw from, because the kernel counts what they use for the host's
// root, who made their user namespaces. With the kernel's defaults one environment can take all there is: 128 watchers
// of files (inotify), say, and no editor starts in any other. What is used costs memory, which is charged to whoever uses
// it; so these are raised until that is what ends first.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const SYS = '/proc/sys'

/** Below /proc/sys: at least so much. Distributions with systemd have the first two already. */
export const SHARED_LIMITS: Readonly<Record<string, number>> = {
  'kernel/pid_max': 4_194_304,
  'fs/file-max': 1_000_000_000,
  'fs/inotify/max_user_instances': 1_000_000,
  'fs/inotify/max_user_watches': 100_000_000,
}

/** Those that are lower here, with what they are. */
export async function lowLimits(): Promise<ReadonlyMap<string, number>> {
  const low = new Map<string, number>()
  for (const [name, least] of Object.entries(SHARED_LIMITS)) {
    const value = Number(await readFile(join(SYS, name), 'utf8').catch(() => Infinity)) // This kernel has no such limit.
    if (value < least) low.set(name, value)
  }
  return low
}

/** Raises those that are too low, where that is allowed; `bothy doctor` tells of the others. Nothing is ever lowered. */
export async function raiseLimits(): Promise<void> {
  for (const name of (await lowLimits()).keys()) {
    await writeFile(join(SYS, name), String(SHARED_LIMITS[name])).catch((cause: NodeJS.ErrnoException) => {
      // In a container the machine's settings are read-only, as they should be.
      if (!['EACCES', 'EPERM', 'EROFS', 'EINVAL'].includes(cause.code ?? '')) throw cause
    })
  }
}
