// Jobs: a program run once on an environment's disk before its sandbox starts (a clone). Same walls as a sandbox, and a
// network that reaches only what the job names.
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import type { Readable, Writable } from 'node:stream'
import type { DiskJob, SandboxId } from '../../core/driver.ts'
import type { ExecStream, Exit } from '../../core/exec.ts'
import type { Clock } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import { type Cgroups, makeCgroup, processesIn } from './cgroups.ts'
import { settleStreams } from './drain.ts'
import { writeNetworkFiles } from './files.ts'
import { type ShownFile, showFiles } from './job-files.ts'
import { spawnKeeper, startKeeper } from './keeper.ts'
import { cgroupPath, type Layout, runtimePaths } from './layout.ts'
import { closeReach, openReach, reachElement } from './network.ts'
import { type Host, jobOciConfig, jobSteps } from './sandbox-plan.ts'
import { sendSignal } from './signals.ts'
import { interfaceName, releaseSlot, takeSlot } from './slots.ts'
import { removeRuntime, slotOwner } from './sweep.ts'
import { makeToolsRoot } from './tools-root.ts'

export interface JobDeps {
  readonly layout: Layout
  readonly cgroups: Cgroups
  readonly host: Host
  readonly clock: Clock
  /** Resolves when the disk may be written to, once a job's folder says that it is about to be. */
  readonly released: () => Promise<void>
}

export async function runDiskJob(
  deps: JobDeps,
  id: SandboxId,
  job: DiskJob,
  signal: AbortSignal,
): Promise<ExecStream> {
  signal.throwIfAborted()
  const { layout, cgroups, host, clock, released } = deps
  const paths = runtimePaths(layout, id, 'job')
  const leaf = `job-${id}`
  const clean = async () => {
    for (const pid of await processesIn(cgroups, cgroupPath(layout, leaf))) sendSignal(pid, 'SIGKILL')
    await removeRuntime(layout, cgroups, paths, leaf, clock)
  }
  await clean()
  const owner = slotOwner(layout, paths)
  const slot = await takeSlot(owner)
  const reach = job.reach.map(({ address, port }) =>
    reachElement(interfaceName(layout.shortId, slot.number, 'job'), address, port),
  )
  let files: readonly ShownFile[]
  try {
    await mkdir(paths.dir, { recursive: true })
    await chmod(paths.dir, 0o711)
    await released()
    await openReach(layout.shortId, reach)
    const mounts = await makeToolsRoot(
      paths.rootfs,
      job.files.map(({ target }) => target),
    )
    await writeNetworkFiles(paths.files, {
      name: 'job',
      address: slot.address,
      resolvers: [],
      pinned: job.reach,
    })
    if (cgroups.mode === 'hybrid') await makeCgroup(cgroups, cgroupPath(layout, leaf), 'unified')
    files = await showFiles(paths, job.files, slot)
    await writeFile(paths.config, JSON.stringify(jobOciConfig(host, paths, id, slot, job, mounts, files)), {
      mode: 0o600,
    })
  } catch (error) {
    await closeReach(layout.shortId, reach)
    await clean()
    await releaseSlot(slot.number, owner)
    throw error
  }
  const spawned = spawnKeeper(host.keeperCgroups, 'pipe')
  const { child, control } = spawned
  const keeper = startKeeper(
    spawned,
    jobSteps(host, paths, id, slot, files, job.reach.length > 0),
    () => undefined,
  )
  // The end of its control descriptor makes a keeper kill its job, whenever it comes to starting it, unmount, and say so.
  // The keeper itself is never killed: the disk must not be mounted anew before it is unmounted.
  const abort = () => void control.end()
  const gone = new Promise<void>(resolve => child.once('exit', () => resolve()))
  signal.addEventListener('abort', abort, { once: true })
  child.stdin?.on('error', () => undefined) // A job that does not read its input is forgiven.
  const stdout = child.stdout as Readable
  const stderr = child.stderr as Readable
  const ending = async (): Promise<Exit> => {
    try {
      return await keeper.exit
    } catch (error) {
      if (!signal.aborted) throw error
      throw new Fault('cancelled', 'job-cancelled', `job in ${id}: cancelled`, { cause: error })
    } finally {
      signal.removeEventListener('abort', abort)
      await closeReach(layout.shortId, reach)
      await gone
      await clean()
    }
  }
  const exit = ending().then(async how => {
    await settleStreams([stdout, stderr], signal)
    return how
  })
  exit.catch(() => undefined) // The caller's to handle.
  keeper.ready.catch(() => undefined) // Told by `exit` as well.
  return { stdin: child.stdin as Writable, stdout, stderr, resize: () => undefined, exit }
}
