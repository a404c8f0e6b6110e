// Disks where no image can be mounted: a folder each, with what would be in the image. Nothing bounds them, and a copy
// copies every file (or shares its blocks, where the file system can). A folder that is there under its name is complete.
//
// Whoever is root inside owns files here that run as their owner, who is the host's root: the folder above, `disk`, is
// for the host's root alone.
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { DiskCopy, DiskSource, DiskUsage, SandboxId, SnapshotId } from '../../core/driver.ts'
import { aborted } from '../../lib/aborted.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { Fault } from '../../lib/fault.ts'
import { isUuid, randomSuffix } from '../../lib/ids.ts'
import type { Limiter } from '../../lib/limiter.ts'
import { mustRun, runProcess } from '../../lib/run-process.ts'
import type { DiskStore } from './disk-store.ts'
import { diskFolder, environmentsDir, type Layout, snapshotFolder, snapshotsDir, treeOf } from './layout.ts'
import { requireRoom, whileRoom } from './pool.ts'
import { copyTree } from './tree-copy.ts'

const DRAFT = '.new'
/** How long a copy waits for a source that is on its way up or down. */
const PATIENCE_MS: Millis = 10_000
const POLL_MS: Millis = 50
/** A look at every file is dear; so often it is worth it. */
const LOOK_MS: Millis = 300_000
/** A start asks, too. */
const COUNT_MS: Millis = 200
const COUNT_KEPT_MS: Millis = 60_000

export interface DiskTreesOptions {
  readonly layout: Layout
  /** The folder that the pool lies in. */
  readonly parent: string
  readonly clock: Clock
  /** Whose turn it is to copy. */
  readonly copies: Limiter
  /** Does a sandbox write to it, or could one soon? */
  readonly stateOf: (id: SandboxId) => Promise<'running' | 'stopped' | 'between'>
  /** The control group that holds the processes of a sandbox. */
  readonly freezer: (id: SandboxId) => string
  /** Nobody else lets them go meanwhile; to be called when they may be. */
  readonly holding: (id: SandboxId) => () => Promise<void>
}

interface Copying {
  readonly abort: AbortController
  readonly over: Promise<void>
}

export class DiskTrees implements DiskStore {
  readonly #options: DiskTreesOptions
  /** Copies die with their runner, so that no other knows of any. */
  readonly #copying = new Map<SandboxId, Set<Copying>>()
  readonly #used = new Map<string, { readonly bytes: number; readonly seenMs: Millis }>()

  readonly #counting = new Map<string, Promise<void>>()

  constructor(options: DiskTreesOptions) {
    this.#options = options
  }

  async ensure(id: SandboxId, sizeBytes: number, _signal: AbortSignal): Promise<void> {
    const folder = diskFolder(this.#options.layout, id)
    const before = await sizeOf(folder)
    if (before === undefined) {
      await this.#make(folder, draft => makeTree(draft, sizeBytes))
    } else if (before < sizeBytes) {
      const draft = `${sizeFile(folder)}.${randomSuffix(8)}`
      await writeFile(draft, String(sizeBytes))
      await rename(draft, sizeFile(folder))
    }
  }

  copy(id: SandboxId, source: DiskSource, signal: AbortSignal): Promise<DiskCopy | undefined> {
    return this.#copyOnce(source, diskFolder(this.#options.layout, id), signal)
  }

  keep(id: SnapshotId, environment: SandboxId, signal: AbortSignal): Promise<DiskCopy | undefined> {
    return this.#copyOnce({ environment }, snapshotFolder(this.#options.layout, id), signal)
  }

  find(id: SandboxId): Promise<DiskUsage | undefined> {
    return this.#usage(diskFolder(this.#options.layout, id), COUNT_MS)
  }

  findKept(id: SnapshotId): Promise<DiskUsage | undefined> {
    return this.#usage(snapshotFolder(this.#options.layout, id), COUNT_KEPT_MS)
  }

  async sweep(): Promise<void> {
    const { layout } = this.#options
    for (const dir of [environmentsDir(layout), snapshotsDir(layout)])
      for (const id of (await readdir(dir)).filter(isUuid)) await removeDrafts(join(dir, id))
  }

  async interrupt(id: SandboxId): Promise<void> {
    const copies = [...(this.#copying.get(id) ?? [])]
    for (const { abort } of copies) abort.abort()
    await Promise.all(copies.map(({ over }) => over))
  }

  async released(id: SandboxId, signal: AbortSignal): Promise<void> {
    for (const { over } of this.#copying.get(id) ?? []) await Promise.race([over, aborted(signal)])
    signal.throwIfAborted()
  }

  async #copyOnce(source: DiskSource, folder: string, signal: AbortSignal): Promise<DiskCopy | undefined> {
    if ((await sizeOf(folder)) !== undefined) return undefined
    signal.throwIfAborted()
    const { layout, parent, clock } = this.#options
    return whileRoom({ parent, pool: layout.pool, clock }, signal, either =>
      this.#make(folder, draft => this.#fill(draft, source, either)),
    )
  }

  async #fill(draft: string, source: DiskSource, signal: AbortSignal): Promise<DiskCopy> {
    const { layout, clock, copies } = this.#options
    if ('snapshot' in source)
      return copies(() => copyDisk(snapshotFolder(layout, source.snapshot), draft, undefined, signal), signal)
    const untilMs = clock.now() + PATIENCE_MS
    for (;;) {
      const copied = await this.#whileKnown(source.environment, signal, either =>
        copies(() => this.#copyUnlessBetween(source.environment, draft, either), either),
      )
      if (copied !== undefined) return copied
      if (clock.now() > untilMs) {
        const what = `copy the disk of ${source.environment}: its sandbox is on its way up or down`
        throw new Fault('unavailable', 'disk-copy', what, { hint: 'it is tried again' })
      }
      await clock.sleep(POLL_MS, signal)
    }
  }

  /** Undefined: its sandbox is on its way up or down. */
  async #copyUnlessBetween(id: SandboxId, draft: string, signal: AbortSignal): Promise<DiskCopy | undefined> {
    const { layout, stateOf, freezer, holding } = this.#options
    const state = await stateOf(id)
    if (state === 'between') return undefined
    if (state === 'stopped') return copyDisk(diskFolder(layout, id), draft, undefined, signal)
    const letGo = holding(id)
    try {
      return await copyDisk(diskFolder(layout, id), draft, freezer(id), signal)
    } finally {
      await letGo()
    }
  }

  /** Calls `work` with a signal that also aborts when somebody wants to end what the disk belongs to. */
  async #whileKnown<T>(
    id: SandboxId,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const all = this.#copying.get(id) ?? new Set()
    let end = () => {}
    const over = new Promise<void>(resolve => {
      end = resolve
    })
    const copying: Copying = { abort: new AbortController(), over }
    this.#copying.set(id, all.add(copying))
    try {
      return await work(AbortSignal.any([signal, copying.abort.signal]))
    } catch (error) {
      if (signal.aborted || !copying.abort.signal.aborted) throw error
      const what = `copy the disk of ${id}: it was stopped meanwhile`
      throw new Fault('unavailable', 'disk-copy', what, { cause: error, hint: 'it is tried again' })
    } finally {
      all.delete(copying)
      if (all.size === 0) this.#copying.delete(id)
      end()
    }
  }

  async #make<T>(folder: string, fill: (draft: string) => Promise<T>): Promise<T> {
    const { parent, layout } = this.#options
    await requireRoom(parent, layout.pool)
    await mkdir(dirname(folder), { recursive: true, mode: 0o711 })
    await removeDrafts(dirname(folder))
    const draft = `${folder}.${randomSuffix(8)}${DRAFT}`
    try {
      await mkdir(draft, { mode: 0o700 })
      const made = await fill(draft)
      failpoint('linux.disk-copied')
      await rename(draft, folder)
      return made
    } catch (error) {
      await removeTree(draft)
      throw error
    }
  }

  /** What it takes is what was counted last, if counting takes longer than whoever asks may wait; 0: never yet. */
  async #usage(folder: string, patienceMs: Millis): Promise<DiskUsage | undefined> {
    const sizeBytes = await sizeOf(folder)
    if (sizeBytes === undefined) return undefined
    const { clock } = this.#options
    const known = this.#used.get(folder)
    if (known === undefined || clock.now() - known.seenMs > LOOK_MS) {
      const counting = this.#counting.get(folder) ?? this.#count(folder)
      this.#counting.set(folder, counting)
      const over = new AbortController()
      const late = clock.sleep(patienceMs, over.signal).catch(() => undefined) // It was counted in time.
      await Promise.race([counting, late])
      over.abort()
    }
    return { sizeBytes, usedBytes: this.#used.get(folder)?.bytes ?? 0 }
  }

  async #count(folder: string): Promise<void> {
    const lowest = ['nice', '-n', '10', 'ionice', '-c', '3'] as const
    try {
      // Files go while they are counted; it complains, and goes on with the others.
      const { stdout } = await runProcess([...lowest, 'du', '-sx', '--block-size=1', '--', folder])
      const bytes = Number.parseInt(stdout, 10)
      if (Number.isFinite(bytes)) this.#used.set(folder, { bytes, seenMs: this.#options.clock.now() })
    } finally {
      this.#counting.delete(folder)
    }
  }
}

/** Removes a folder that somebody who is root inside has filled: with paths longer than a system call takes, too. */
export async function removeTree(folder: string): Promise<void> {
  await mustRun(['rm', '-rf', '--one-file-system', '--', folder])
}

const sizeFile = (folder: string): string => join(folder, 'size')

/** What was asked for, which nobody enforces; undefined: there is no such disk. */
async function sizeOf(folder: string): Promise<number | undefined> {
  return readFile(sizeFile(folder), 'utf8').then(Number, (cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return undefined
    throw cause
  })
}

async function makeTree(draft: string, sizeBytes: number): Promise<void> {
  await mkdir(treeOf(draft), { mode: 0o755 })
  await writeFile(sizeFile(draft), String(sizeBytes))
}

async function copyDisk(
  source: string,
  draft: string,
  freezer: string | undefined,
  signal: AbortSignal,
): Promise<DiskCopy> {
  const sizeBytes = await sizeOf(source)
  if (sizeBytes === undefined)
    throw new Fault('not_found', 'disk-missing', `copy the disk ${source}: there is none`)
  const copied = await copyTree({ source: treeOf(source), target: treeOf(draft), freezer, signal })
  await writeFile(sizeFile(draft), String(sizeBytes))
  return copied
}

async function removeDrafts(dir: string): Promise<void> {
  for (const name of await readdir(dir))
    if (name.startsWith('disk.') && name.endsWith(DRAFT)) await removeTree(join(dir, name))
}
