// Limits of a sandbox whose runtime is kept from control groups: it would ignore groups that are there, or refuse a host
// with both versions.
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Cgroups, makeCgroup } from './cgroups.ts'
import type { Limits } from './runtime.ts'

const CONTROLLERS = ['memory', 'pids'] as const

/** Makes `path` in every hierarchy, for nobody but the host to change, with the limits set. */
export async function makeLimitedCgroup(
  cgroups: Cgroups,
  path: string,
  { memoryBytes, pids }: Limits,
): Promise<void> {
  await makeCgroup(cgroups, path, 'all')
  const v1 = (name: string) => cgroups.v1.find(root => root.split('/').at(-1)?.split(',').includes(name))
  const [memory, processes] = CONTROLLERS.map(v1)
  if (memory !== undefined) await writeFile(join(memory, path, 'memory.limit_in_bytes'), String(memoryBytes))
  if (processes !== undefined) await writeFile(join(processes, path, 'pids.max'), String(pids))
  if (cgroups.mode !== 'v2' || cgroups.unified === undefined) return
  for (const parent of parentsOf(path)) {
    const file = join(cgroups.unified, parent, 'cgroup.subtree_control')
    await writeFile(file, CONTROLLERS.map(each => `+${each}`).join(' '))
  }
  await writeFile(join(cgroups.unified, path, 'memory.max'), String(memoryBytes))
  await writeFile(join(cgroups.unified, path, 'pids.max'), String(pids))
}

/** From the root downwards. */
function parentsOf(path: string): string[] {
  const parent = dirname(path)
  return parent === path ? [] : [...parentsOf(parent), parent]
}
