// What a driver has while it is at work: made once for a host, shared by all sandboxes.
import { chmod, mkdir } from 'node:fs/promises'
import type { Background } from '../../core/background.ts'
import type { SandboxId } from '../../core/driver.ts'
import type { Clock } from '../../lib/clock.ts'
import { createLimiter } from '../../lib/limiter.ts'
import type { Log } from '../../lib/log.ts'
import { runProcess } from '../../lib/run-process.ts'
import { openBackground } from './background.ts'
import type { CdiOptions } from './cdi.ts'
import { CgroupWarmer } from './cgroup-warmer.ts'
import { type Cgroups, detectCgroups } from './cgroups.ts'
import type { DiskSetting } from './disk-mode.ts'
import type { DiskStore } from './disk-store.ts'
import { type ForkServers, startForkServers } from './fork-server.ts'
import { Freezer } from './freezer.ts'
import { HELPER_ENV, helperPath } from './helper.ts'
import { prepareHost } from './host.ts'
import { environmentsDir, type Layout, layoutOf, snapshotsDir } from './layout.ts'
import { openDisks } from './open-disks.ts'
import { preparePool } from './pool.ts'
import { ensureSwap, type SwapMode, type ZramOptions } from './resources/zram.ts'
import { RoomKeeper } from './room-keeper.ts'
import { Runtimes } from './runtimes.ts'
import { SandboxNetwork, type SandboxNetworkOptions } from './sandbox-network.ts'
import type { Host } from './sandbox-plan.ts'

// Each holds its source up for a moment, if that runs: short turns, one after the other, hold up everybody for less.
const MOST_COPIES = 4

export interface LinuxDriverOptions {
  /** Six characters that make this runner's names on the host its own. */
  readonly shortId: string
  /** Where pool, images and disks live: a folder on the file system that has the room. */
  readonly dir: string
  readonly clock: Clock
  readonly log: Log
  /** Images, or folders where images cannot be mounted. Default: auto. */
  readonly disks?: DiskSetting | undefined
  /** What the operator permits beyond the public internet, and who is asked for names. */
  readonly devices?: Partial<Pick<CdiOptions, 'hooks' | 'dirs'>>
  readonly network?: Pick<SandboxNetworkOptions, 'permitted' | 'upstreams'>
  /** Swap in compressed memory, for what idle environments do not use. Default: none is made, and none removed. */
  readonly swap?: { readonly mode: SwapMode; readonly sizeBytes?: number }
}

export interface Prepared {
  readonly layout: Layout
  readonly cgroups: Cgroups
  readonly host: Host
  readonly network: SandboxNetwork
  readonly runtimes: Runtimes
  readonly forks: ForkServers
  readonly warmer: CgroupWarmer
  readonly guard: AbortController
  readonly freezer: Freezer
  readonly room: RoomKeeper
  readonly background: Background
  readonly disks: DiskStore
}

/** `closeLast` lets go of what an earlier one has open: of some things there is one on a host. */
export async function prepareParts(
  options: LinuxDriverOptions,
  isRunning: (id: SandboxId) => Promise<boolean>,
  closeLast: () => Promise<void>,
): Promise<Prepared> {
  const { clock, log, dir, swap, shortId } = options
  const { pool, mode } = await preparePool(dir, options.disks ?? 'auto')
  const layout = layoutOf(shortId, pool, mode)
  const cgroups = await detectCgroups()
  const host = await prepareHost(layout, cgroups)
  await answerPromptly()
  const runtimes = new Runtimes(layout)
  await runtimes.prepare()
  await mkdir(environmentsDir(layout), { recursive: true })
  await chmod(environmentsDir(layout), 0o711)
  await mkdir(snapshotsDir(layout), { recursive: true, mode: 0o700 })
  if (swap !== undefined) await ensureSwap(zramOptions(layout, log), swap.mode, swap.sizeBytes)
  await closeLast()
  const network = new SandboxNetwork({ ...{ layout, permitted: [], clock, log }, ...options.network })
  await network.open()
  const forks = startForkServers(layout, host.keeperCgroups)
  const warmer = new CgroupWarmer(host.keeperCgroups[0] ?? '/dev/null')
  const guard = new AbortController()
  const freezer = new Freezer(cgroups, layout)
  const room = new RoomKeeper({ layout, parent: dir, cgroups, freezer, clock, log })
  const background = await openBackground(layout, cgroups, clock)
  const copies = createLimiter(MOST_COPIES, clock)
  const disks = openDisks({ layout, parent: dir, cgroups, clock, log, freezer, copies, isRunning })
  const shared = { freezer, room, background, disks }
  return { layout, cgroups, host, runtimes, network, forks, warmer, guard, ...shared }
}

// This process hands on each key. Where the kernel knows no such wish (before Linux 6.12), or refuses it, it waits its turn.
async function answerPromptly(): Promise<void> {
  await runProcess(['perl', helperPath('prompt.pl'), String(process.pid)], { env: HELPER_ENV })
}

export const zramOptions = (layout: Layout, log: Log): ZramOptions => ({
  shortId: layout.shortId,
  folder: layout.runtime,
  log,
})
