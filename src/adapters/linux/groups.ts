// What the host makes in a sandbox's own control group, so that whoever is looked at goes before whoever works: `session`
// and `work`. The sandbox's root may divide both further, and remove an empty one; their limits stay the host's.
import { chown, mkdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Cgroups, DELEGATED, delegateCgroup, hierarchyOf } from './cgroups.ts'

/** Commands that somebody waits for, and what they start. */
export const SESSION = 'session'
/** Everything else: the first process, services, builds. What is neither here nor in `session` counts as work, too. */
export const WORK = 'work'
/** Below `work`: what came from `session` and is to go back when it calms down. So the host itself remembers it. */
export const MOVED = 'work/moved'

export type Group = typeof SESSION | typeof WORK | typeof MOVED

/**
 * Mount points of the hierarchies in which sandboxes are divided. Of version 1 only those that share or count processors:
 * elsewhere there is nothing to tell them apart by.
 */
export function dividedHierarchies(cgroups: Cgroups): readonly string[] {
  const roots = ['cpu', 'cpuacct'].map(controller => hierarchyOf(cgroups, controller))
  return [...new Set(roots.filter(root => root !== undefined))]
}

/** What is missing of the groups of the sandbox at `path`; `owner`, an id of the host, may divide them. */
async function makeGroups(cgroups: Cgroups, path: string, owner: number): Promise<void> {
  const names = cgroups.mode === 'v2' ? DELEGATED.v2 : DELEGATED.v1
  await Promise.all(
    dividedHierarchies(cgroups).map(async root => {
      for (const group of [SESSION, WORK, MOVED]) {
        const dir = join(root, path, group)
        await mkdir(dir).catch((cause: NodeJS.ErrnoException) => {
          if (cause.code !== 'EEXIST') throw cause
        })
        await Promise.all(names.map(name => chown(join(dir, name), owner, owner)))
      }
    }),
  )
}

/** Makes the group of a sandbox, and those that it is divided into, before its start. */
export async function divideCgroup(cgroups: Cgroups, path: string, owner: number): Promise<void> {
  await delegateCgroup(cgroups, path, owner)
  await makeGroups(cgroups, path, owner)
}

/** Makes again what the sandbox's root has removed; nothing when the sandbox itself is gone. */
export async function remakeGroups(cgroups: Cgroups, path: string): Promise<void> {
  const [root] = dividedHierarchies(cgroups)
  if (root === undefined) return
  const own = await stat(join(root, path)).catch(() => undefined) // Gone.
  if (own === undefined) return
  await makeGroups(cgroups, path, own.uid).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT' && cause.code !== 'ENODEV') throw cause
  })
}

/** The files that put a process into `group` of the sandbox at `path`. */
export const joinFiles = (cgroups: Cgroups, path: string, group: Group): readonly string[] =>
  dividedHierarchies(cgroups).map(root => join(root, path, group, 'cgroup.procs'))
