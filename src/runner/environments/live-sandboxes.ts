import type { Driver, Sandbox, SandboxId } from '../../core/driver.ts'
import type { Exit } from '../../core/exec.ts'

/**
 * The sandboxes that this process has in its hands, so that not every look costs a search on the host, and how the
 * others ended. The host is the truth all the same: what is not here is looked for there.
 */
export interface LiveSandboxes {
  /** The one that runs, from hand or from the host. */
  find(id: SandboxId): Promise<Sandbox | undefined>
  /** From hand only. */
  inHand(id: SandboxId): Sandbox | undefined
  add(sandbox: Sandbox): void
  drop(id: SandboxId): void
  /** How the latest sandbox with this id ended, if this process saw it. */
  endOf(id: SandboxId): Exit | undefined
  /** Called when one came, or ended by itself. Returns what ends it. */
  onChange(listener: (id: SandboxId) => void): () => void
}

export function createLiveSandboxes(driver: Driver): LiveSandboxes {
  const live = new Map<SandboxId, Sandbox>()
  const ends = new Map<SandboxId, Exit>()
  const listeners = new Set<(id: SandboxId) => void>()
  const tell = (id: SandboxId) => {
    for (const listener of listeners) listener(id)
  }

  const add = (sandbox: Sandbox): void => {
    const { id } = sandbox
    const before = live.get(id)
    if (before === sandbox || before?.epoch === sandbox.epoch) return
    live.set(id, sandbox)
    ends.delete(id)
    const gone = (exit: Exit | undefined) => {
      if (live.get(id) !== sandbox) return
      live.delete(id)
      if (exit !== undefined) ends.set(id, exit)
      tell(id)
    }
    // A rejection means that it was lost: not here any more either way.
    sandbox.ended.then(gone, () => gone(undefined))
    tell(id)
  }

  return {
    async find(id) {
      const known = live.get(id)
      if (known !== undefined) return known
      const found = await driver.find(id)
      if (found !== undefined) add(found)
      return live.get(id) ?? found
    },
    inHand: id => live.get(id),
    add,
    drop(id) {
      live.delete(id)
      ends.delete(id)
    },
    endOf: id => ends.get(id),
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
