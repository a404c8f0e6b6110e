// cgroup v1, v2 and both beside each other behind one small interface. Sandboxes live in /bothy-RUNNER/UID of every
// hierarchy; on hybrid hosts the v2 hierarchy (which then has no controllers for us) still gives pressure, freeze, kill.
import { chown, mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../lib/clock.ts'

export interface Cgroups {
  readonly mode: 'v1' | 'v2' | 'hybrid'
  /** Mount points of the v1 hierarchies. */
  readonly v1: readonly string[]
  /** Mount point of the v2 hierarchy. */
  readonly unified: string | undefined
  /** Mount points by the controllers of version 1 that they have. */
  readonly controllers: ReadonlyMap<string, string>
}

/** From the text of /proc/self/mountinfo. */
export function parseCgroupMounts(mountinfo: string): Cgroups {
  const v1: string[] = []
  const controllers = new Map<string, string>()
  let unified: string | undefined
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ')
    const target = before?.split(' ')[4]
    const [type, , options] = after?.split(' ') ?? []
    if (target === undefined) continue
    if (type === 'cgroup' && !v1.includes(target)) v1.push(target)
    if (type === 'cgroup') for (const name of options?.split(',') ?? []) controllers.set(name, target)
    if (type === 'cgroup2') unified ??= target
  }
  const mode = v1.length === 0 ? 'v2' : unified === undefined ? 'v1' : 'hybrid'
  return { mode, v1, unified, controllers }
}

export async function detectCgroups(): Promise<Cgroups> {
  return parseCgroupMounts(await readFile('/proc/self/mountinfo', 'utf8'))
}

/** Mount point of the hierarchy that has `controller`; undefined where the kernel has none, or it is not mounted. */
export const hierarchyOf = (cgroups: Cgroups, controller: string): string | undefined =>
  cgroups.mode === 'v2' ? cgroups.unified : cgroups.controllers.get(controller)

const roots = (cgroups: Cgroups): readonly string[] =>
  cgroups.unified === undefined ? cgroups.v1 : [...cgroups.v1, cgroups.unified]

/** Makes `path` in every hierarchy that the runtime does not make by itself and returns the files to join it. */
export async function makeCgroup(
  cgroups: Cgroups,
  path: string,
  which: 'all' | 'unified',
): Promise<string[]> {
  const chosen = which === 'all' ? roots(cgroups) : cgroups.unified === undefined ? [] : [cgroups.unified]
  const files: string[] = []
  for (const root of chosen) {
    const dir = join(root, path)
    // cpuset of v1 takes nobody in before cpus and mems are set; the runtime's own groups inherit, ours need not join.
    if (root.endsWith('/cpuset')) continue
    await mkdir(dir, { recursive: true })
    files.push(join(dir, 'cgroup.procs'))
  }
  return files
}

/**
 * Lets the groups in `path` have every controller, where version 2 stands alone; the runtime does the same at the first
 * start. Where the host's own groups are not ours to change, they have what they have.
 */
export async function shareControllers(cgroups: Cgroups, path: string): Promise<void> {
  const { mode, unified } = cgroups
  if (mode !== 'v2' || unified === undefined) return
  for (const dir of [unified, join(unified, path)]) {
    const names = (await readFile(join(dir, 'cgroup.controllers'), 'utf8')).trim().split(' ')
    // One by one: the kernel takes all or none, and in a container some may not be for us.
    for (const name of names) {
      await writeFile(join(dir, 'cgroup.subtree_control'), `+${name}`).catch(
        (cause: NodeJS.ErrnoException) => {
          if (!['EACCES', 'EPERM', 'EROFS', 'EBUSY', 'EINVAL', 'ENOENT'].includes(cause.code ?? ''))
            throw cause
        },
      )
    }
  }
}

// Whoever owns these may make groups below and move processes into them, and nothing else: the limits stay the host's.
// As in the kernel's documents of both versions ("delegation").
export const DELEGATED = {
  v1: ['', 'cgroup.procs', 'tasks'],
  v2: ['', 'cgroup.procs', 'cgroup.threads', 'cgroup.subtree_control'],
}

/** Groups below a sandbox's own, in one hierarchy. Docker makes one for each container, Kubernetes two, systemd hundreds. */
export const MOST_GROUPS = 2000
// Only version 2 has these limits: see cgroup-guard.ts.
const MOST = { 'cgroup.max.depth': 16, 'cgroup.max.descendants': MOST_GROUPS }

/**
 * Makes `path` in every hierarchy and gives it to `owner`, an id of the host: the sandbox whose root that is may divide
 * what it has (docker's `--memory`, systemd's slices) and cannot raise it.
 */
export async function delegateCgroup(cgroups: Cgroups, path: string, owner: number): Promise<void> {
  const give = async (dir: string, names: readonly string[]) => {
    await mkdir(dir, { recursive: true })
    await Promise.all(names.map(name => chown(join(dir, name), owner, owner)))
  }
  const { v1, unified } = cgroups
  await Promise.all([
    ...v1.map(root => give(join(root, path), DELEGATED.v1)),
    ...(unified === undefined ? [] : [give(join(unified, path), DELEGATED.v2)]),
  ])
  if (unified === undefined) return
  for (const [name, most] of Object.entries(MOST)) await writeFile(join(unified, path, name), String(most))
}

/** Every process in `path` and below it, from the hierarchy that the sandbox's processes cannot leave. */
export async function processesIn(cgroups: Cgroups, path: string): Promise<number[]> {
  const root = cgroups.v1.find(each => each.endsWith('/pids')) ?? cgroups.v1[0] ?? cgroups.unified
  if (root === undefined) return []
  const pids: number[] = []
  for (const dir of await descendants(join(root, path))) {
    const text = await readFile(join(dir, 'cgroup.procs'), 'utf8').catch(() => '') // Gone meanwhile: nobody in it.
    for (const line of text.split('\n')) if (line !== '') pids.push(Number(line))
  }
  return pids
}

/** Removes `path` from every hierarchy, deepest first. A group just emptied stays busy for some milliseconds. */
export async function removeCgroup(cgroups: Cgroups, path: string, clock: Clock): Promise<void> {
  for (const root of roots(cgroups)) {
    for (let attempt = 0; attempt < 50 && !(await removeTree(join(root, path))); attempt++)
      await clock.sleep(10)
  }
}

/** False when a group in it is busy still. Looked at anew each time: somebody may just have made another one. */
async function removeTree(dir: string): Promise<boolean> {
  for (const group of (await descendants(dir)).reverse()) {
    const error = await rmdir(group).then(
      () => undefined,
      (cause: NodeJS.ErrnoException) => cause,
    )
    if (error?.code === 'EBUSY') return false
    if (error !== undefined && error.code !== 'ENOENT') throw error
  }
  return true
}

async function descendants(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => undefined) // Not there: nothing below.
  if (entries === undefined) return []
  const below = await Promise.all(
    entries.filter(e => e.isDirectory()).map(e => descendants(join(dir, e.name))),
  )
  return [dir, ...below.flat()]
}
