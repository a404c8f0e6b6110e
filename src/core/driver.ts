// A driver makes, finds and removes sandboxes on a host. It keeps no books: after any restart it finds everything
// again from what is really there. Each implementation passes `driver.contract.ts` and, for its exec,
// `exec.contract.ts`.
import type { Duplex } from 'node:stream'
import type { Isolation } from '../api/isolation.ts'
import type { Millis } from '../lib/clock.ts'
import type { Exec, ExecStream, Exit } from './exec.ts'
import type { HostResources } from './governor/host-resources.ts'

/** The uid of an Environment: names its disk, its sandbox, its cgroups. */
export type SandboxId = string & { readonly __sandbox?: never }

/** The uid of a Snapshot: names what is kept of a disk. */
export type SnapshotId = string & { readonly __snapshot?: never }

/** Whose state another disk begins with. */
export type DiskSource = { readonly environment: SandboxId } | { readonly snapshot: SnapshotId }

/** How a copy of a disk went. */
export interface DiskCopy {
  /** How long those who write to the source were held up; 0: nobody did. */
  readonly pausedMs: Millis
  /** Pieces that the disk lies in; what a copy costs grows with them, not with its size. Absent: they do not matter. */
  readonly extents?: number
  /** In how many rounds it was made, while the source was written to. */
  readonly passes?: number
}

export interface DiskUsage {
  /** What it may grow to: its size as seen inside; of a disk without limits, what was asked for. */
  readonly sizeBytes: number
  /** What it takes on the host; blocks that it shares with others count for each. */
  readonly usedBytes: number
}

/** What is left for everybody on this host. */
export interface Room {
  readonly freeBytes: number
  /** Of what there is in all. Absent: it does not matter. */
  readonly sizeBytes?: number
  /** New disks are made. */
  readonly admits: boolean
  /** Sandboxes that wait, in the middle of whatever they do, until there is room again: none of their writes fails. */
  readonly held: ReadonlySet<SandboxId>
}

/** The room that disks and images share. */
export interface HostStorage {
  readonly sizeBytes: number
  readonly freeBytes: number
  /** Below so many free bytes no new disk is made. */
  readonly lowBytes: number
}

/** An image ready to be used: read-only directories shared by everybody, the topmost first. */
export interface UnpackedImage {
  readonly reference: string
  readonly digest: string
  readonly layers: readonly string[]
  readonly env: readonly string[]
  readonly workingDir: string
  readonly user: string
  /** Its own first process, where it wants to be that of a whole machine (systemd). Otherwise one that only reaps. */
  readonly init?: readonly string[] | undefined
}

/** What a sandbox reaches over the network, beyond the walls that all of them have. Absent: public addresses, unlimited. */
export interface NetworkPolicy {
  readonly egress?: {
    /** Of public addresses that no list names. */
    readonly otherwise: 'Allow' | 'Deny'
    /** IPv4 networks (CIDR) and names (`*.` for all below one), as `networkSchema` admits them. */
    readonly allow: readonly string[]
    readonly deny: readonly string[]
  }
  /** Most that leaves it, and most that comes to it, in bits a second. */
  readonly egressBitsPerSecond?: number
  readonly ingressBitsPerSecond?: number
  readonly newConnectionsPerSecond?: number
  /** At a time. */
  readonly connections?: number
}

export interface SandboxSpec {
  readonly id: SandboxId
  /** The environment's name: host name inside. */
  readonly name: string
  /** Which start this is; a sandbox of an older epoch is replaced. */
  readonly epoch: number
  readonly image: UnpackedImage
  readonly env: Readonly<Record<string, string>>
  readonly memoryBytes: number
  readonly pids: number
  readonly network?: NetworkPolicy
  /** Default: userns. Faults with `unavailable`, code `isolation-absent`, when this host cannot do it. */
  readonly isolation?: Isolation
  /** Full names of CDI devices. Faults with `unavailable`, code `device-absent`, when one is not here. */
  readonly devices?: readonly string[]
}

/** A program run once on an environment's disk, before its sandbox starts, confined as strictly as the sandbox is. */
export interface DiskJob {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** The only places on the network that it reaches. */
  readonly reach: readonly { readonly host: string; readonly address: string; readonly port: number }[]
  /** Host files shown read-only inside, e.g. a git bundle or a deploy key. */
  readonly files: readonly { readonly source: string; readonly target: string }[]
}

/** Of a start: its mounts, its processes and namespaces, its link to the network. */
export type Stage = 'mount' | 'sandbox' | 'network'
export type OnStage = (stage: Stage, startedMs: Millis, endedMs: Millis) => void

export interface Driver {
  readonly name: string
  /** What this host has and lacks; `ok` of all required checks decides whether environments can run. */
  health(): Promise<DriverHealth>
  /** Called once before anything else: makes what is shared by all sandboxes and sweeps what belongs to nobody. */
  prepare(signal: AbortSignal): Promise<void>
  /**
   * Makes the environment's disk exist with at least that size, also while its sandbox runs: it grows, and never shrinks.
   * Faults with `exhausted`.
   */
  ensureDisk(id: SandboxId, sizeBytes: number, signal: AbortSignal): Promise<void>
  /**
   * Makes the environment's disk as a copy of what `source` holds now, whether that runs or not; undefined when it has a
   * disk already, which is left as it is. Later changes of either are not seen by the other. All or nothing, whatever
   * is killed meanwhile. Faults with `not_found` when there is no such source, `exhausted`, `unavailable` when the source
   * is on its way up or down.
   */
  copyDisk(id: SandboxId, source: DiskSource, signal: AbortSignal): Promise<DiskCopy | undefined>
  /** Undefined: it has no disk. */
  findDisk(id: SandboxId): Promise<DiskUsage | undefined>
  /** Keeps a copy of what the environment's disk holds now, as `copyDisk` makes it; undefined when it is kept already. */
  takeSnapshot(id: SnapshotId, environment: SandboxId, signal: AbortSignal): Promise<DiskCopy | undefined>
  /** Undefined: it is not kept here (any more), or not completely. */
  findSnapshot(id: SnapshotId): Promise<DiskUsage | undefined>
  /** A folder of the host for files that belong to the snapshot. */
  snapshotFolder(id: SnapshotId): string
  /** Every snapshot of which there is something here. */
  listSnapshots(): Promise<readonly SnapshotId[]>
  /** Removes a snapshot; what was made of it stays. Idempotent. */
  destroySnapshot(id: SnapshotId): Promise<void>
  /** Runs a job on the disk of an environment that has no sandbox; /workspaces inside is the environment's. */
  runJob(id: SandboxId, job: DiskJob, signal: AbortSignal): Promise<ExecStream>
  /** A folder of the host, beside the disk, for files that belong to the environment (log, bundle). Not visible inside. */
  folder(id: SandboxId): string
  /** Makes the sandbox run as specified. Same id and epoch: returns the one that runs. Older epoch: replaces it. */
  ensure(spec: SandboxSpec, signal: AbortSignal, onStage?: OnStage): Promise<Sandbox>
  /**
   * Makes that policy the running sandbox's own, as a whole and at once, also for connections that stand; nothing happens
   * when it has it already, or when it does not run. Resolves with what of it this host's operator does not permit, in
   * words; that stays closed.
   */
  setNetwork(
    id: SandboxId,
    policy: NetworkPolicy | undefined,
    signal: AbortSignal,
  ): Promise<readonly string[]>
  /** Full names of the CDI devices that sandboxes here can be given. */
  listDevices(): Promise<readonly string[]>
  /** Isolations that sandboxes here can have. */
  listIsolations(): Promise<readonly Isolation[]>
  /** The running sandbox, found again from the host. */
  find(id: SandboxId): Promise<Sandbox | undefined>
  /** Every environment that has a disk or a sandbox here. */
  list(): Promise<readonly SandboxId[]>
  /** Removes sandbox and disk. Idempotent. */
  destroy(id: SandboxId): Promise<void>
  storage(): Promise<HostStorage>
  /** The host's processors, memory and disks, for those who govern them; undefined: this driver governs nothing. */
  openResources(): Promise<HostResources | undefined>
  /** Looks after the room on the host until `signal` aborts; calls `onRoom` at first and after every change. */
  keepRoom(onRoom: (room: Room) => void, signal: AbortSignal): Promise<void>
  /** Lets go of the host's resources that belong to the runner process; sandboxes go on. */
  close(): Promise<void>
  /** Removes everything this driver made on the host except the environments' data. For `down --all`. */
  teardown(): Promise<void>
}

export interface Sandbox {
  readonly id: SandboxId
  readonly epoch: number
  readonly exec: Exec
  /** Connects to a TCP port inside, loopback-only ones too. */
  dial(port: number, signal: AbortSignal): Promise<Duplex>
  /** Asks everything inside to end, kills what is left after `graceMs`, keeps the disk. Idempotent. */
  stop(graceMs: Millis): Promise<void>
  /** Resolves when the sandbox has ended, whoever ended it. */
  readonly ended: Promise<Exit>
}

export interface HealthCheck {
  readonly name: string
  readonly ok: boolean
  /** Without it no environment can run; otherwise something is slower or missing. */
  readonly required: boolean
  readonly found: string
  readonly hint?: string
}

export interface DriverHealth {
  readonly ok: boolean
  readonly checks: readonly HealthCheck[]
}
