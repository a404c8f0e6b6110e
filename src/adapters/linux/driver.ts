// The `linux` driver: crun, user namespaces, idmapped overlays over shared images, one reflinked disk image each. It
// keeps no books; see layout.ts for where the host's truth lies.
import { readdir, rm } from 'node:fs/promises'
import type { Isolation } from '../../api/isolation.ts'
import type { Background } from '../../core/background.ts'
import type {
  DiskCopy,
  DiskJob,
  DiskSource,
  DiskUsage,
  Driver,
  DriverHealth,
  HostStorage,
  NetworkPolicy,
  OnStage,
  Room,
  Sandbox,
  SandboxId,
  SandboxSpec,
  SnapshotId,
} from '../../core/driver.ts'
import type { ExecStream } from '../../core/exec.ts'
import type { HostResources } from '../../core/governor/host-resources.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { Fault } from '../../lib/fault.ts'
import { isUuid } from '../../lib/ids.ts'
import { carryOutStart } from './carry-out-start.ts'
import { CDI_DIRS, Cdi } from './cdi.ts'
import { guardCgroups } from './cgroup-guard.ts'
import { processesIn, removeCgroup } from './cgroups.ts'
import { removeTree } from './disk-trees.ts'
import { writeSandboxFiles } from './files.ts'
import { checkHealth } from './health.ts'
import { runDiskJob } from './job.ts'
import {
  cgroupPath,
  environmentDir,
  environmentsDir,
  runtimePaths,
  snapshotDir,
  snapshotsDir,
} from './layout.ts'
import { removeNetwork } from './network.ts'
import { closePool, storageOf } from './pool.ts'
import { type LinuxDriverOptions, type Prepared, prepareParts, zramOptions } from './prepared.ts'
import { LinuxResources } from './resources/resources.ts'
import { removeSwap } from './resources/zram.ts'
import { findSandbox, type LinuxSandbox, type SandboxDeps, sandboxState } from './sandbox.ts'
import { sandboxOciConfig, sandboxSteps } from './sandbox-plan.ts'
import { sendSignal } from './signals.ts'
import { releaseSlot, takeSlot } from './slots.ts'
import { removeRuntime, slotOwner, sweep } from './sweep.ts'

export class LinuxDriver implements Driver {
  readonly name = 'linux'
  readonly #options: LinuxDriverOptions
  readonly #cdi: Cdi
  #prepared: Prepared | undefined
  #resources: Promise<LinuxResources> | undefined
  /** Sandboxes whose end we wait for; what runs is asked of the host, this only saves asking twice. */
  readonly #watched = new Map<SandboxId, LinuxSandbox>()

  constructor(options: LinuxDriverOptions) {
    this.#options = options
    this.#cdi = new Cdi({ hooks: false, dirs: CDI_DIRS, log: options.log, ...options.devices })
  }

  health(): Promise<DriverHealth> {
    return checkHealth(this.#options.dir, this.#options.disks ?? 'auto', this.#prepared?.layout.disks)
  }

  async prepare(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const isRunning = async (id: SandboxId) => (await this.find(id)) !== undefined
    const prepared = await prepareParts(this.#options, isRunning, async () => {
      await this.#closeResources()
      this.#closeHelpers()
    })
    this.#prepared = prepared
    const { layout, cgroups, guard, network, disks } = prepared
    const { clock, log } = this.#options
    const end = async (id: SandboxId) => (await this.find(id))?.stop(0)
    void guardCgroups({ cgroups, path: cgroupPath(layout, ''), end, clock, log }, guard.signal)
    await sweep(layout, cgroups, clock, log)
    await disks.sweep()
    await network.forgetGone()
  }

  /** The pool's folder, known after `prepare`: images belong there too, so that they share its room. */
  get poolDir(): string {
    return this.#ready().layout.pool
  }

  /** For what the runner does besides: images. Known after `prepare`. */
  get background(): Background {
    return this.#ready().background
  }

  async ensureDisk(id: SandboxId, sizeBytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#ready().warmer.warm()
    await this.#ready().disks.ensure(id, sizeBytes, signal)
  }

  copyDisk(id: SandboxId, source: DiskSource, signal: AbortSignal): Promise<DiskCopy | undefined> {
    return this.#ready().disks.copy(id, source, signal)
  }

  findDisk(id: SandboxId): Promise<DiskUsage | undefined> {
    return this.#ready().disks.find(id)
  }

  takeSnapshot(id: SnapshotId, environment: SandboxId, signal: AbortSignal): Promise<DiskCopy | undefined> {
    return this.#ready().disks.keep(id, environment, signal)
  }

  findSnapshot(id: SnapshotId): Promise<DiskUsage | undefined> {
    return this.#ready().disks.findKept(id)
  }

  snapshotFolder(id: SnapshotId): string {
    return snapshotDir(this.#ready().layout, id)
  }

  async listSnapshots(): Promise<readonly SnapshotId[]> {
    return (await readdir(snapshotsDir(this.#ready().layout))).filter(isUuid)
  }

  async destroySnapshot(id: SnapshotId): Promise<void> {
    await removeTree(this.snapshotFolder(id))
  }

  async runJob(id: SandboxId, job: DiskJob, signal: AbortSignal): Promise<ExecStream> {
    const { layout, cgroups, host, disks } = this.#ready()
    const released = () => disks.released(id, signal)
    return runDiskJob({ layout, cgroups, host, clock: this.#options.clock, released }, id, job, signal)
  }

  folder(id: SandboxId): string {
    return environmentDir(this.#ready().layout, id)
  }

  async ensure(spec: SandboxSpec, signal: AbortSignal, onStage: OnStage = () => undefined): Promise<Sandbox> {
    signal.throwIfAborted()
    const running = await this.find(spec.id)
    if (running?.epoch === spec.epoch) return running
    if (running !== undefined && running.epoch > spec.epoch) {
      const message = `start ${spec.id} in epoch ${spec.epoch}: epoch ${running.epoch} runs already`
      throw new Fault('conflict', 'epoch-fenced', message, {
        hint: 'somebody started it later; read the environment again',
      })
    }
    await running?.stop(0)
    return this.#start(spec, signal, onStage)
  }

  async #start(spec: SandboxSpec, signal: AbortSignal, onStage: OnStage): Promise<Sandbox> {
    const { layout, cgroups, host, runtimes, network, forks, disks } = this.#ready()
    const runtime = await runtimes.choose(spec)
    const paths = runtimePaths(layout, spec.id)
    await this.#cleanUp(spec.id)
    const devices = await this.#cdi.edits(spec.devices ?? [])
    const slot = await takeSlot(slotOwner(layout, paths))
    failpoint('linux.slot-taken')
    const state = sandboxState(spec, slot.number, runtime)
    try {
      const config = sandboxOciConfig(host, paths, spec, slot, devices, runtime)
      const own = { name: spec.name, address: slot.address, resolvers: network.nameservers }
      await Promise.all([
        writeSandboxFiles(paths, { config, state, network: own }),
        network.admit(spec.id, slot.number, spec.network),
        runtime.makeCgroups(cgroups, cgroupPath(layout, spec.id), spec, slot.idBase),
      ])
      await disks.released(spec.id, signal)
      failpoint('linux.sandbox-configured')
      const steps = sandboxSteps(host, paths, spec, slot, devices, runtime)
      const start = { forks, host, clock: this.#options.clock, stages: runtime.stages }
      const initPid = await carryOutStart(start, spec.id, steps, signal, onStage)
      failpoint('linux.keeper-ready')
      await runtime.learn({ id: spec.id, host, paths })
      const sandbox = await this.find(spec.id)
      if (sandbox === undefined)
        throw new Fault('internal', 'sandbox-start', `start ${spec.id}: its process ${initPid} ended at once`)
      return sandbox
    } catch (error) {
      await this.#cleanUp(spec.id)
      await releaseSlot(slot.number, slotOwner(layout, paths)) // If nothing on the host says whose it is yet.
      throw error
    }
  }

  setNetwork(id: SandboxId, policy: NetworkPolicy | undefined): Promise<readonly string[]> {
    return this.#ready().network.set(id, policy)
  }

  listDevices(): Promise<readonly string[]> {
    return this.#cdi.available()
  }

  listIsolations(): Promise<readonly Isolation[]> {
    return this.#ready().runtimes.list()
  }

  async find(id: SandboxId): Promise<LinuxSandbox | undefined> {
    const known = this.#watched.get(id)
    if (known !== undefined) return known
    const found = await findSandbox(id, runtimePaths(this.#ready().layout, id), this.#deps())
    const meanwhile = this.#watched.get(id)
    // Only one may watch: each cleans up after the end, and the second might do so beside a new start.
    if (found === undefined || meanwhile !== undefined) {
      found?.leave()
      return meanwhile
    }
    this.#watched.set(id, found)
    const forget = () => void this.#watched.delete(id)
    found.ended.then(forget, forget)
    return found
  }

  async list(): Promise<readonly SandboxId[]> {
    const { layout } = this.#ready()
    const names = await Promise.all([environmentsDir(layout), layout.runtime].map(dir => readdir(dir)))
    return [...new Set(names.flat().filter(isUuid))]
  }

  async destroy(id: SandboxId): Promise<void> {
    const sandbox = await this.find(id)
    await sandbox?.stop(0)
    await this.#cleanUp(id)
    failpoint('linux.sandbox-removed')
    const { disks, layout } = this.#ready()
    await disks.interrupt(id)
    await removeTree(environmentDir(layout, id))
  }

  storage(): Promise<HostStorage> {
    return storageOf(this.#options.dir, this.#ready().layout.pool)
  }

  openResources(): Promise<HostResources> {
    const { layout, cgroups, freezer, host } = this.#ready()
    const { clock, log } = this.#options
    this.#resources ??= LinuxResources.open({
      ...{ layout, cgroups, freezer, clock, log },
      helperCgroups: host.keeperCgroups,
    }).catch((error: unknown) => {
      this.#resources = undefined
      throw error
    })
    return this.#resources
  }

  async keepRoom(onRoom: (room: Room) => void, signal: AbortSignal): Promise<void> {
    const { room } = this.#ready()
    await room.releaseAll()
    await room.run(onRoom, signal)
  }

  async close(): Promise<void> {
    // Keepers hold the mounts and the kernel the rest; only our connections to the keepers are this process's.
    for (const sandbox of this.#watched.values()) sandbox.leave()
    this.#watched.clear()
    await this.#closeResources()
    this.#closeHelpers()
  }

  async teardown(): Promise<void> {
    // On a host that lacks something nothing was made; if anything, the pool.
    if (this.#prepared === undefined) return closePool(this.#options.dir)
    const { layout, cgroups } = this.#ready()
    await this.#closeResources()
    this.#closeHelpers()
    const grace = 10_000
    await Promise.all((await this.list()).map(async id => (await this.find(id))?.stop(grace)))
    await sweep(layout, cgroups, this.#options.clock, this.#options.log)
    await removeNetwork(layout.shortId, layout.runtime)
    await removeCgroup(cgroups, cgroupPath(layout, ''), this.#options.clock)
    // Late: what others have swapped needs room in memory, and where there is none the rest is gone all the same.
    await removeSwap(zramOptions(layout, this.#options.log))
    await rm(layout.runtime, { recursive: true, force: true })
    await closePool(this.#options.dir)
  }

  // Whatever of a sandbox's own is left on the host when it does not run: a keeper half-way, processes, cgroups, slot.
  async #cleanUp(id: SandboxId): Promise<void> {
    const { layout, cgroups, network, freezer } = this.#ready()
    for (const pid of await processesIn(cgroups, cgroupPath(layout, id))) sendSignal(pid, 'SIGKILL')
    await network.forget(id)
    await removeRuntime(layout, cgroups, runtimePaths(layout, id), id, this.#options.clock)
    await freezer.ending(id, false)
  }

  #deps(): SandboxDeps {
    const { cgroups, host, freezer, disks, forks, runtimes } = this.#ready()
    const { clock } = this.#options
    return {
      ...{ cgroups, host, clock, commands: forks.commands },
      runtimeOf: isolation => runtimes.of(isolation),
      wake: id => freezer.wake(id),
      beforeStop: async id => {
        await disks.interrupt(id)
        await freezer.ending(id, true)
      },
      cleanUp: id => this.#cleanUp(id),
    }
  }

  // What an end of this process would undo, too.
  async #closeResources(): Promise<void> {
    const resources = this.#resources
    this.#resources = undefined
    await (await resources?.catch(() => undefined))?.close() // Never opened: nothing to undo.
  }

  #closeHelpers(): void {
    this.#prepared?.forks.close()
    this.#prepared?.warmer.close()
    this.#prepared?.guard.abort()
    this.#prepared?.network.close()
  }

  #ready(): Prepared {
    if (this.#prepared !== undefined) return this.#prepared
    throw new Fault('internal', 'driver-unprepared', 'the linux driver was used before prepare()')
  }
}

export function createLinuxDriver(options: LinuxDriverOptions): LinuxDriver {
  return new LinuxDriver(options)
}
