// Version 1 of control groups has no limit of how many groups somebody makes below their own. The kernel has 65,535 ids
// for groups of memory, all sandboxes together, and memory that it charges to nobody for the others. Docker inside makes
// some ten for each container. So somebody looks, and ends the sandbox that makes thousands: a bomb, as one of processes.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock, Millis } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { type Cgroups, MOST_GROUPS } from './cgroups.ts'

const LOOK_MS: Millis = 1_000
/** Looks without a reason to look closer, until one does so all the same: for the hierarchies that nobody counts. */
const CLOSE_LOOK = 10
// A tenth of what there is, and more than a host full of containers has. A shell makes about ten thousand in a second.
const MANY = 6_000

export interface CgroupGuardOptions {
  readonly cgroups: Cgroups
  /** Path of the group, in every hierarchy, whose children are to be watched. */
  readonly path: string
  /** Called with the name of a child that has made too many. */
  readonly end: (name: string) => Promise<void>
  readonly clock: Clock
  readonly log: Log
}

/** Watches until `signal` is aborted. Resolves at once where the kernel has limits of its own. */
export async function guardCgroups(options: CgroupGuardOptions, signal: AbortSignal): Promise<void> {
  const { cgroups, path, end, clock, log } = options
  if (cgroups.v1.length === 0) return
  for (let look = 1; !signal.aborted; look++) {
    try {
      await clock.sleep(LOOK_MS, signal)
      if (look % CLOSE_LOOK !== 0 && mostCounted(await readFile('/proc/cgroups', 'utf8')) < MANY) continue
      for (const name of await findBombs(cgroups, path)) {
        log.warn({ name, most: MOST_GROUPS }, 'ending a sandbox that makes control groups without end')
        await end(name)
      }
    } catch (error) {
      if (signal.aborted) return
      log.warn({ error: String(error) }, 'looking for control groups made without end')
    }
  }
}

/** The largest number of groups in one hierarchy, from the text of /proc/cgroups. */
export function mostCounted(text: string): number {
  const counts = text.split('\n').map(line => (line.startsWith('#') ? 0 : Number(line.split('\t')[2] ?? 0)))
  return Math.max(0, ...counts)
}

async function findBombs(cgroups: Cgroups, path: string): Promise<ReadonlySet<string>> {
  const found = new Set<string>()
  for (const root of cgroups.v1) {
    const parent = join(root, path)
    // No sandbox has been started yet, or the last one is just gone.
    for (const name of await readdir(parent).catch(() => []))
      if (!found.has(name) && (await hasMore(join(parent, name), MOST_GROUPS))) found.add(name)
  }
  return found
}

async function hasMore(dir: string, most: number): Promise<boolean> {
  let count = 0
  const left = [dir]
  for (let at = left.pop(); at !== undefined; at = left.pop()) {
    // A file (ENOTDIR), or a group that is gone meanwhile.
    const entries = await readdir(at, { withFileTypes: true }).catch(() => [])
    for (const entry of entries) if (entry.isDirectory()) left.push(join(at, entry.name))
    count += entries.filter(entry => entry.isDirectory()).length
    if (count > most) return true
  }
  return false
}
