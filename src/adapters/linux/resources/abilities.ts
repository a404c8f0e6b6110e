import { access, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ResourceAbilities } from '../../../core/governor/host-resources.ts'
import { type Cgroups, hierarchyOf } from '../cgroups.ts'

/** Looks in `probe`, a group of ours that is there in every hierarchy: the kernel's root groups lack most files. */
export async function detectAbilities(cgroups: Cgroups, probe: string): Promise<ResourceAbilities> {
  const has = async (root: string | undefined, file: string): Promise<boolean> =>
    root !== undefined &&
    access(join(root, probe, file)).then(
      () => true,
      () => false, // This kernel does not have it.
    )
  const [cpu, memory] = [hierarchyOf(cgroups, 'cpu'), hierarchyOf(cgroups, 'memory')]
  const isV2 = cgroups.mode === 'v2'
  const blkio = cgroups.controllers.get('blkio')
  return {
    cpuWeights: await has(cpu, isV2 ? 'cpu.weight' : 'cpu.shares'),
    cpuCeilings: await has(cpu, isV2 ? 'cpu.max' : 'cpu.cfs_quota_us'),
    pressure: await readable(join(cgroups.unified ?? '/nowhere', probe, 'cpu.pressure')),
    freeze: (await has(cgroups.unified, 'cgroup.freeze')) || cgroups.controllers.has('freezer'),
    reclaim: await has(memory, isV2 ? 'memory.reclaim' : 'memory.force_empty'),
    ioLimits: isV2
      ? await has(cgroups.unified, 'io.max')
      : await has(blkio, 'blkio.throttle.read_bps_device'),
    ioWeights: isV2
      ? (await has(cgroups.unified, 'io.weight')) || (await has(cgroups.unified, 'io.bfq.weight'))
      : (await has(blkio, 'blkio.weight')) || (await has(blkio, 'blkio.bfq.weight')),
    swap: swapOf(await readFile('/proc/swaps', 'utf8').catch(() => '')), // A kernel without swap has no such file.
    holdKiller: !isV2 && (await has(memory, 'memory.oom_control')),
  }
}

// Pressure can be switched off at boot: then the file is there and cannot be read.
const readable = (file: string): Promise<boolean> =>
  readFile(file, 'utf8').then(
    text => text.startsWith('some'),
    () => false,
  )

/** Where memory goes first, from the text of /proc/swaps: the kernel begins with the highest priority. */
export function swapOf(text: string): ResourceAbilities['swap'] {
  const [best] = text
    .split('\n')
    .slice(1)
    .map(line => line.split(/\s+/))
    .filter(fields => fields.length >= 5)
    .sort((a, b) => Number(b[4]) - Number(a[4]))
  if (best === undefined) return 'none'
  return /^\/dev\/(block\/)?zram/.test(best[0] ?? '') ? 'zram' : 'swap'
}
