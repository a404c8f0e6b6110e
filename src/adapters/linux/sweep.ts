// Removes what belongs to nobody: after kill -9 of a runner, a crash of the host, a start that was cut short.
import { access, readdir, readFile, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { SandboxId } from '../../core/driver.ts'
import type { Clock } from '../../lib/clock.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { isUuid } from '../../lib/ids.ts'
import type { Log } from '../../lib/log.ts'
import { type Cgroups, processesIn, removeCgroup } from './cgroups.ts'
import { groupsIn } from './freezer.ts'
import { KEEPERS } from './host.ts'
import { releaseLoops, unmountBelow } from './host-leftovers.ts'
import { watchKeeper } from './keeper.ts'
import {
  cgroupPath,
  environmentsDir,
  type Layout,
  RUN_ROOT,
  type RuntimePaths,
  runtimePaths,
  runtimeState,
  snapshotsDir,
} from './layout.ts'
import { sweepSwap } from './resources/zram.ts'
import type { SandboxState } from './sandbox.ts'
import { sendSignal } from './signals.ts'
import { releaseSlot, slotsOf } from './slots.ts'

/** Removes cgroups, runtime state, folder and slot of a sandbox or job that has no process left. Idempotent. */
export async function removeRuntime(
  layout: Layout,
  cgroups: Cgroups,
  paths: RuntimePaths,
  leaf: string,
  clock: Clock,
): Promise<void> {
  // It is made first and removed last: without it nothing is left, and most starts are of what never ran. For the slot
  // that a killed runner took before it, see `sweep`.
  if (!(await exists(paths.dir))) return
  const known = await slotIn(paths)
  await keeperGone(paths, clock)
  await endHelpers(layout, cgroups, paths, clock)
  await removeCgroup(cgroups, cgroupPath(layout, leaf), clock)
  failpoint('linux.cgroup-removed')
  await rm(join(runtimeState(layout), leaf), { recursive: true, force: true })
  await unmountBelow(paths.dir)
  // A command that was entering when everything was killed may still put a file there.
  await rm(paths.dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 })
  failpoint('linux.runtime-removed')
  const owner = slotOwner(layout, paths)
  if (known !== undefined) return releaseSlot(known, owner)
  for (const slot of await slotsOf(owner)) if (slot.owner === owner) await releaseSlot(slot.number, owner)
}

/** As whose a sandbox's or job's slot is known. */
export const slotOwner = (layout: Layout, { dir }: RuntimePaths): string =>
  `${layout.shortId}/${basename(dir)}`

/** Undefined: it was not written down, for a job or in a start that was cut short. */
async function slotIn(paths: RuntimePaths): Promise<number | undefined> {
  try {
    return (JSON.parse(await readFile(paths.state, 'utf8')) as Partial<SandboxState>).slot
  } catch {
    return undefined // Not there, or half-written.
  }
}

// The keeper unmounts after the last process; its folder may be removed, and the disk mounted again, only then.
async function keeperGone(paths: RuntimePaths, clock: Clock): Promise<void> {
  const socket = await watchKeeper(paths.socket)
  if (socket === undefined) return
  const closed = new Promise<void>(resolve => {
    socket.once('close', () => resolve())
    socket.on('error', () => undefined) // 'close' follows.
    socket.resume()
  })
  // A keeper that does not go has hung on a mount; ten seconds is far beyond a slow unmount of a dirty disk.
  await Promise.race([closed, clock.sleep(10_000)])
  socket.destroy()
}

/**
 * Ends whoever still works on that sandbox or job from outside: a keeper in the middle of a plan whose runner was killed,
 * the runtime that it started. One that is not stopped would go on making what is about to be removed.
 */
async function endHelpers(
  layout: Layout,
  cgroups: Cgroups,
  paths: RuntimePaths,
  clock: Clock,
): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const pids = await helpersOf(layout, cgroups, paths)
    for (const pid of pids) sendSignal(pid, 'SIGKILL')
    // What the runtime had made meanwhile.
    for (const pid of await processesIn(cgroups, cgroupPath(layout, basename(paths.dir))))
      sendSignal(pid, 'SIGKILL')
    if (pids.length === 0) return
    await clock.sleep(10)
  }
}

async function helpersOf(layout: Layout, cgroups: Cgroups, { dir }: RuntimePaths): Promise<number[]> {
  const name = basename(dir)
  const label = name.startsWith('job-') ? `bothy-job ${name.slice(4)}` : `bothy-keeper ${name}`
  const found: number[] = []
  for (const pid of await processesIn(cgroups, cgroupPath(layout, KEEPERS))) {
    const argv = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0') // Ended meanwhile.
    if (argv[0]?.trim() === label || argv.includes(dir)) found.push(pid)
  }
  return found
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false, // Not there, or not any more.
  )
}

/** Compares what is on the host with what really runs and removes the difference. */
export async function sweep(layout: Layout, cgroups: Cgroups, clock: Clock, log: Log): Promise<void> {
  for (const name of await readdir(layout.runtime).catch(() => [])) {
    // No folder: nothing was left.
    const job = name.startsWith('job-') && isUuid(name.slice(4))
    if (!job && !isUuid(name)) continue
    const id = (job ? name.slice(4) : name) as SandboxId
    const paths = runtimePaths(layout, id, job ? 'job' : 'sandbox')
    // A job dies with its runner; a sandbox lives as long as its first process does.
    if (!job && (await lives(cgroups, layout, paths, id))) continue
    log.info({ name }, 'removing what a sandbox left behind')
    for (const pid of await processesIn(cgroups, cgroupPath(layout, name))) sendSignal(pid, 'SIGKILL')
    await removeRuntime(layout, cgroups, paths, name, clock)
  }
  const folders = new Set(await readdir(layout.runtime).catch(() => [])) // As above.
  for (const name of await groupsIn(cgroups, cgroupPath(layout, ''))) {
    if (folders.has(name) || !isUuid(name.replace(/^job-/, ''))) continue
    log.info({ name }, 'ending what has lost its folder')
    await endAllIn(cgroups, cgroupPath(layout, name), clock)
    await removeCgroup(cgroups, cgroupPath(layout, name), clock)
  }
  await releaseLoops(environmentsDir(layout))
  await releaseLoops(snapshotsDir(layout))
  for (const { number, owner } of await slotsOf(`${layout.shortId}/`)) {
    if (!folders.has(owner.slice(layout.shortId.length + 1))) await releaseSlot(number, owner)
  }
  await releaseForgottenSlots(clock)
  await sweepSwap(async shortId => !(await exists(join(RUN_ROOT, shortId))), log)
}

// Those who hold mounts take a while to go.
async function endAllIn(cgroups: Cgroups, path: string, clock: Clock): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const pids = await processesIn(cgroups, path)
    if (pids.length === 0) return
    for (const pid of pids) sendSignal(pid, 'SIGKILL')
    await clock.sleep(20)
  }
}

// A slot is taken a moment before its owner's folder is made.
const YOUNG_MS = 60_000

/** Slots of runners that are gone for good: nothing of theirs is below /run any more. */
async function releaseForgottenSlots(clock: Clock): Promise<void> {
  for (const { number, owner, takenMs } of await slotsOf('')) {
    // What cannot be read is not there.
    const folder = await readdir(join(RUN_ROOT, owner)).catch(() => undefined)
    if (folder !== undefined || clock.now() - takenMs < YOUNG_MS) continue
    await releaseSlot(number, owner)
  }
}

async function lives(cgroups: Cgroups, layout: Layout, paths: RuntimePaths, id: SandboxId): Promise<boolean> {
  const pid = Number((await readFile(paths.pid, 'utf8').catch(() => '')).trim()) // Never came so far.
  return (
    pid > 0 &&
    (await exists(paths.socket)) &&
    (await processesIn(cgroups, cgroupPath(layout, id))).includes(pid)
  )
}
