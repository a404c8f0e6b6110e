// Processes that were killed for memory, by a governor or by the kernel before it could act: told, shown, written down.
import type { EnvironmentStatus } from '../../api/kinds/environment.ts'
import { formatQuantity } from '../../api/quantity.ts'
import type { Resource } from '../../api/resource.ts'
import type { SandboxId } from '../../core/driver.ts'
import type { Decision } from '../../core/governor/act.ts'
import type { HostSample } from '../../core/governor/sample.ts'
import { spellBytes } from '../../core/governor/victims.ts'
import type { Store } from '../../core/store.ts'
import { writeStatus } from '../../core/write.ts'
import { type Clock, type Millis, timestamp } from '../../lib/clock.ts'
import { isFault, toFault } from '../../lib/fault.ts'
import type { Log } from '../../lib/log.ts'

export interface Kill {
  readonly id: SandboxId
  readonly by: 'governor' | 'kernel'
  /** Undefined: the kernel did not say. */
  readonly process: string | undefined
  readonly bytes: number | undefined
  /** The whole of it in one sentence: who, how large, and why. */
  readonly note: string
}

/** A kill that a governor decided; undefined for anything else that it did. */
export function killOf({ act, why }: Decision): Kill | undefined {
  if (act.kind !== 'kill') return undefined
  return { id: act.id, by: 'governor', process: act.name, bytes: act.bytes, note: why }
}

/** Tells the kernel's own kills from the counters. What was counted before the first look is nobody's news. */
export function createKernelKills(): (host: HostSample) => readonly Kill[] {
  let before = new Map<SandboxId, number>()
  return host => {
    const now = new Map<SandboxId, number>()
    const kills: Kill[] = []
    for (const [id, { memory }] of host.environments) {
      now.set(id, memory.oomKills)
      const count = memory.oomKills - (before.get(id) ?? memory.oomKills)
      if (count <= 0) continue
      const { name, bytes } = memory.lastShot ?? {}
      const who = name === undefined ? 'a process' : `${name} (${spellBytes(bytes ?? 0)})`
      const others = count > 1 ? ` and ${count - 1} more` : ''
      const ceiling = Number.isFinite(memory.limitBytes) ? ` of ${spellBytes(memory.limitBytes)}` : ''
      const note = `the kernel killed ${who}${others}: the environment is at its ceiling${ceiling}`
      kills.push({ id, by: 'kernel', process: name, bytes, note })
    }
    before = now
    return kills
  }
}

/** Pure. */
export function killed(
  status: EnvironmentStatus,
  { process, bytes, note }: Kill,
  atMs: Millis,
): EnvironmentStatus {
  return {
    ...status,
    lastKill: {
      at: timestamp(atMs),
      ...(process === undefined ? {} : { process: process.slice(0, 64) }),
      ...(bytes === undefined || bytes <= 0 ? {} : { memory: formatQuantity(bytes) }),
      reason: note.slice(0, 300),
    },
  }
}

export interface KillRecordOptions {
  readonly store: Store
  readonly find: (id: SandboxId) => Resource<'Environment'> | undefined
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

// A bomb is killed again and again; each write is a revision that everybody who watches is sent.
const PAUSE_MS: Millis = 5_000

/** Writes the latest kill of each environment into its status, now and then while there are more. */
export function createKillRecord({
  store,
  find,
  clock,
  log,
  signal,
}: KillRecordOptions): (kill: Kill) => void {
  const due = new Map<SandboxId, { readonly kill: Kill; readonly atMs: Millis }>()
  const writing = new Set<SandboxId>()

  const write = async (id: SandboxId): Promise<void> => {
    for (let next = due.get(id); next !== undefined && !signal.aborted; next = due.get(id)) {
      const { kill, atMs } = next
      due.delete(id)
      const environment = find(id)
      if (environment === undefined) return
      try {
        await writeStatus(store, environment, latest => killed(latest.status, kill, atMs))
      } catch (error) {
        // Deleted meanwhile; or the server is away, and has the event later, which says the same.
        if (!isFault(error) || error.reason !== 'not_found')
          log.warn({ uid: id, code: toFault(error).code }, 'a kill is not in the status')
      }
      await clock.sleep(PAUSE_MS, signal).catch(() => undefined) // Aborted: the loop sees it.
    }
  }
  return kill => {
    due.set(kill.id, { kill, atMs: clock.now() })
    if (writing.has(kill.id)) return
    writing.add(kill.id)
    void write(kill.id).finally(() => writing.delete(kill.id))
  }
}
