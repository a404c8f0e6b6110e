// What keeps the disks of a pool, whatever they are: see disk-images.ts and disk-trees.ts, and `Driver` for the promises.
import type { DiskCopy, DiskSource, DiskUsage, SandboxId, SnapshotId } from '../../core/driver.ts'

export interface DiskStore {
  /** See `Driver.ensureDisk`. */
  ensure(id: SandboxId, sizeBytes: number, signal: AbortSignal): Promise<void>
  /** See `Driver.copyDisk`. */
  copy(id: SandboxId, source: DiskSource, signal: AbortSignal): Promise<DiskCopy | undefined>
  /** See `Driver.takeSnapshot`. */
  keep(id: SnapshotId, environment: SandboxId, signal: AbortSignal): Promise<DiskCopy | undefined>
  find(id: SandboxId): Promise<DiskUsage | undefined>
  findKept(id: SnapshotId): Promise<DiskUsage | undefined>
  /** Removes what copies for an earlier runner left. */
  sweep(): Promise<void>
  /** Ends copies of that disk, before its sandbox is ended or it goes: they fault with `unavailable`. */
  interrupt(id: SandboxId): Promise<void>
  /** Resolves when it may be written to: no copy reckons with nobody doing so. */
  released(id: SandboxId, signal: AbortSignal): Promise<void>
}
