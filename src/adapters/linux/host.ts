// What every sandbox on this host shares, made once when a runner starts.
import { chmod, mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Cgroups, makeCgroup } from './cgroups.ts'
import { CompiledFilter } from './compiled-filter.ts'
import { cgroupPath, helpersDir, type Layout, RUN_ROOT, runtimeState } from './layout.ts'
import type { Host } from './sandbox-plan.ts'
import { raiseLimits } from './shared-limits.ts'

/** The cgroup of all keepers, beside those of the sandboxes. */
export const KEEPERS = 'keepers'
/** Within a sandbox's own, on hosts with version 2 alone. */
export const LEAF = 'init'
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
  return {
    layout,
    keeperCgroups,
    unifiedCgroups: leaf =>
      cgroups.mode === 'hybrid' && cgroups.unified !== undefined
        ? [join(cgroups.unified, cgroupPath(layout, leaf), 'cgroup.procs')]
        : [],
    ownCgroups: leaf => keeperCgroups.map(file => file.replace(`/${KEEPERS}/`, `/${leaf}/`)),
    leafGroup: leaf =>
      cgroups.mode === 'v2' && cgroups.unified !== undefined
        ? join(cgroups.unified, cgroupPath(layout, leaf), LEAF)
        : undefined,
    initProgram: INIT_PROGRAM,
    maxOpenFiles: await openFileCeiling(),
    // A pipe to a program or, since Linux 6.16, a socket; anything else is a file, looked up inside.
    keepsCores: /^[|@]/.test(await readFile('/proc/sys/kernel/core_pattern', 'utf8')),
    filter: new CompiledFilter(),
    arch: process.arch,
  }
}

// A limit above our own cannot be given to others without CAP_SYS_RESOURCE; 1048576 is what systemd gives to services.
async function openFileCeiling(): Promise<number> {
  const line = (await readFile('/proc/self/limits', 'utf8'))
    .split('\n')
    .find(each => each.startsWith('Max open files'))
  const hard = line?.trim().split(/\s{2,}/)[2]
  return hard === undefined || hard === 'unlimited' ? 1_048_576 : Math.min(Number(hard), 1_048_576)
}
