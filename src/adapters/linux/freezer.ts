import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SandboxId } from '../../core/driver.ts'
import type { FreezeReason } from '../../core/governor/act.ts'
import { Fault } from '../../lib/fault.ts'
import type { Cgroups } from './cgroups.ts'
import { cgroupPath, type Layout } from './layout.ts'

/** Why a sandbox is held up: its host has no room to write to, or a governor wants it. */
export type Reason = 'room' | FreezeReason

/** Told of what is to be undone should this process end; see resources/guardian.ts. */
export interface Guard {
  hold(file: string, value: string): Promise<void>
  drop(file: string): Promise<void>
}

/**
 * Holds up, and lets go, every process of a sandbox. Whoever is held up for several reasons goes when the last one has
 * gone. With version 2 (also beside version 1) they can still be killed meanwhile; with version 1 alone they end when
 * they are let go. A sandbox that is gone has nobody to hold.
 */
export class Freezer {
  readonly #cgroups: Cgroups
  readonly #layout: Layout
  readonly #reasons = new Map<SandboxId, ReadonlySet<Reason>>()
  /** Those that are to end: they are let go, so that they can. */
  readonly #ending = new Set<SandboxId>()
  /** How many copies are made of its disk, by somebody who stops and starts it in their course. */
  readonly #copied = new Map<SandboxId, number>()
  /** One write after the other for each, or the last word would be anybody's. */
  readonly #writes = new Map<SandboxId, Promise<void>>()
  /** Nobody stays held up by a governor that is gone; who writes to a full disk waits for the next runner. */
  guard: Guard | undefined
  /** Called for each who is woken: what else is done to it, since it is idle, is over. */
  onWake: (id: SandboxId) => void = () => undefined

  constructor(cgroups: Cgroups, layout: Layout) {
    this.#cgroups = cgroups
    this.#layout = layout
  }

  async hold(id: SandboxId, reason: Reason, held: boolean): Promise<void> {
    const reasons = new Set(this.#reasons.get(id))
    if (held && !this.#ending.has(id)) reasons.add(reason)
    else reasons.delete(reason)
    if (reasons.size === 0) this.#reasons.delete(id)
    else this.#reasons.set(id, reasons)
    await this.#apply(id)
  }

  /** Somebody comes: all that governors have against it is over. */
  async wake(id: SandboxId): Promise<void> {
    this.onWake(id)
    const reasons = this.#reasons.get(id)
    if (reasons === undefined) return
    if (reasons.has('room')) this.#reasons.set(id, new Set(['room']))
    else this.#reasons.delete(id)
    await this.#apply(id)
  }

  async wakeAll(): Promise<void> {
    for (const id of [...this.#reasons.keys()]) await this.wake(id)
  }

  /** Lets it go, whoever held it, and does not hold it up again until `isEnding` is false. */
  async ending(id: SandboxId, isEnding: boolean): Promise<void> {
    if (!isEnding) return void this.#ending.delete(id)
    this.#ending.add(id)
    this.#reasons.delete(id)
    await this.#apply(id)
  }

  /** Lets everybody go, also those whom an earlier runner held up and was killed. */
  async releaseAll(ids: readonly SandboxId[]): Promise<void> {
    this.#reasons.clear()
    for (const id of ids) await this.#apply(id)
  }

  /** Does not let it go until what is returned is called, except to end it: whoever copies its disk does. */
  copying(id: SandboxId): () => Promise<void> {
    this.#copied.set(id, (this.#copied.get(id) ?? 0) + 1)
    return async () => {
      const left = (this.#copied.get(id) ?? 1) - 1
      if (left > 0) return void this.#copied.set(id, left)
      this.#copied.delete(id)
      await this.#apply(id)
    }
  }

  isEnding(id: SandboxId): boolean {
    return this.#ending.has(id)
  }

  #apply(id: SandboxId): Promise<void> {
    const before = this.#writes.get(id) ?? Promise.resolve()
    const write = before.catch(() => undefined).then(() => this.#write(id)) // Told to whoever asked for that one.
    this.#writes.set(id, write)
    const forget = () => void (this.#writes.get(id) === write && this.#writes.delete(id))
    write.then(forget, forget)
    return write
  }

  async #write(id: SandboxId): Promise<void> {
    const place = freezeFile(this.#cgroups, cgroupPath(this.#layout, id))
    if (place === undefined) return
    const reasons = this.#reasons.get(id)
    const isEnding = this.#ending.has(id)
    const held = reasons !== undefined && !isEnding
    if (!held && !isEnding && this.#copied.has(id)) return
    const isGuarded = held && !reasons.has('room')
    if (isGuarded) await this.guard?.hold(place.file, place.go)
    await put(place.file, held ? place.stop : place.go)
    if (!isGuarded) await this.guard?.drop(place.file)
  }
}

function freezeFile(
  cgroups: Cgroups,
  path: string,
): { readonly file: string; readonly stop: string; readonly go: string } | undefined {
  if (cgroups.unified !== undefined)
    return { file: join(cgroups.unified, path, 'cgroup.freeze'), stop: '1', go: '0' }
  const root = cgroups.controllers.get('freezer')
  if (root === undefined) return undefined
  return { file: join(root, path, 'freezer.state'), stop: 'FROZEN', go: 'THAWED' }
}

/** The folder of the control group that holds the processes of a sandbox. */
export function freezerOf(cgroups: Cgroups, path: string): string {
  const root = cgroups.unified ?? cgroups.controllers.get('freezer')
  if (root !== undefined) return join(root, path)
  throw new Fault('unsupported', 'no-freezer', 'hold the processes of a sandbox: the host has no freezer', {
    hint: 'mount the control groups of version 2, or the freezer of version 1',
  })
}

/** Names of the groups in `path`. */
export async function groupsIn(cgroups: Cgroups, path: string): Promise<string[]> {
  const root = cgroups.unified ?? cgroups.v1.find(each => each.endsWith('/freezer'))
  if (root === undefined) return []
  const entries = await readdir(join(root, path), { withFileTypes: true }).catch(() => []) // None was made yet.
  return entries.filter(each => each.isDirectory()).map(({ name }) => name)
}

async function put(file: string, text: string): Promise<void> {
  await writeFile(file, text).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT' && cause.code !== 'ENODEV') throw cause
  })
}
