// What every sandbox on this host shares, made once when a runner starts.
import { access, chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Cgroups, hierarchyOf, makeCgroup, shareControllers } from './cgroups.ts'
import { CompiledFilter } from './compiled-filter.ts'
import { joinFiles } from './groups.ts'
import { cgroupPath, helpersDir, type Layout, RUN_ROOT, runtimeState } from './layout.ts'
import type { Host } from './sandbox-plan.ts'
import { raiseLimits } from './shared-limits.ts'

/** The cgroup of all keepers, beside those of the sandboxes. */
export const KEEPERS = 'keepers'
// Debian's catatonit is static, so it runs in any root.
export const INIT_PROGRAM = '/usr/bin/catatonit'

export async function prepareHost(layout: Layout, cgroups: Cgroups): Promise<Host> {
  // Every parent of a root needs x for others: the sandbox's root is an unprivileged user here.
  for (const dir of [RUN_ROOT, layout.runtime]) {
    await mkdir(dir, { recursive: true })
    await chmod(dir, 0o711)
  }
  await mkdir(runtimeState(layout), { recursive: true, mode: 0o700 })
  // Nobody else's, and of this process: what a killed one left goes.
  await rm(helpersDir(layout), { recursive: true, force: true })
  await mkdir(helpersDir(layout), { mode: 0o700 })
  await raiseLimits()
  const keeperCgroups = await makeCgroup(cgroups, cgroupPath(layout, KEEPERS), 'all')
  await shareControllers(cgroups, cgroupPath(layout, ''))
  await favour(cgroups, cgroupPath(layout, KEEPERS))
  return {
    layout,
    keeperCgroups,
    unifiedCgroups: leaf =>
      cgroups.mode === 'hybrid' && cgroups.unified !== undefined
        ? [join(cgroups.unified, cgroupPath(layout, leaf), 'cgroup.procs')]
        : [],
    ownCgroups: leaf => keeperCgroups.map(file => file.replace(`/${KEEPERS}/`, `/${leaf}/`)),
    joinFiles: (leaf, group) => joinFiles(cgroups, cgroupPath(layout, leaf), group),
    sharedGroup: leaf =>
      cgroups.mode === 'v2' && cgroups.unified !== undefined
        ? join(cgroups.unified, cgroupPath(layout, leaf))
        : undefined,
    initProgram: INIT_PROGRAM,
    memoryAndSwapBytes: await swapCeiling(cgroups, cgroupPath(layout, KEEPERS)),
    maxOpenFiles: await openFileCeiling(),
    // A pipe to a program or, since Linux 6.16, a socket; anything else is a file, looked up inside.
    keepsCores: /^[|@]/.test(await readFile('/proc/sys/kernel/core_pattern', 'utf8')),
    filter: new CompiledFilter(),
    arch: process.arch,
  }
}

// Whoever starts, ends and guards sandboxes does little, and does not wait for those who do much. The runner itself stays
// where its operator has put it: measured beside four busy loops, a process beside the group of all environments woke ten
// times as fast (median, November 2026) as one with the highest weight in it, for other programs compete with the whole group.
async function favour(cgroups: Cgroups, path: string): Promise<void> {
  const root = hierarchyOf(cgroups, 'cpu')
  if (root === undefined) return
  const [name, most] = cgroups.mode === 'v2' ? ['cpu.weight', '10000'] : ['cpu.shares', '262144']
  await writeFile(join(root, path, name), most).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT' && cause.code !== 'EACCES') throw cause // A kernel without weights.
  })
}

// Swap is the host's, and what one environment has there is lost to the others: without a ceiling a bomb would fill it.
// Version 1 counts memory and swap together, so that neither is more than its ceiling in all. Version 2 counts them apart:
// all of its memory may be pushed out, and no more; the runtime subtracts the one from the other.
async function swapCeiling(
  cgroups: Cgroups,
  probe: string,
): Promise<(memoryBytes: number) => number | undefined> {
  const isV2 = cgroups.mode === 'v2'
  const root = hierarchyOf(cgroups, 'memory')
  const file = isV2 ? 'memory.swap.max' : 'memory.memsw.limit_in_bytes'
  const counts =
    root !== undefined &&
    (await access(join(root, probe, file)).then(
      () => true,
      () => false, // Switched off at boot (swapaccount=0), or a kernel without swap.
    ))
  return memoryBytes => (counts ? memoryBytes * (isV2 ? 2 : 1) : undefined)
}

// A limit above our own cannot be given to others without CAP_SYS_RESOURCE; 1048576 is what systemd gives to services.
async function openFileCeiling(): Promise<number> {
  const line = (await readFile('/proc/self/limits', 'utf8'))
    .split('\n')
    .find(each => each.startsWith('Max open files'))
  const hard = line?.trim().split(/\s{2,}/)[2]
  return hard === undefined || hard === 'unlimited' ? 1_048_576 : Math.min(Number(hard), 1_048_576)
}
