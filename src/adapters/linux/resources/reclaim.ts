// Pushing memory out. A helper does it, since the kernel does it in the write: a second for a few hundred megabytes.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SandboxId } from '../../../core/driver.ts'
import { Fault } from '../../../lib/fault.ts'
import { runProcess } from '../../../lib/run-process.ts'
import { HELPER_ENV, helperPath } from '../helper.ts'
import { type Carry, groupDir, loosen } from './ground.ts'
import { numberOf } from './parse.ts'

/** From so much of what there is on, everything goes: version 1 does that at once, and less in pieces. */
const NEARLY_ALL = 0.8

/** Those that are being pushed out; an environment that is wanted back is not kept waiting for that. */
export class Reclaims {
  readonly #running = new Map<SandboxId, AbortController>()

  /** One at a time for each. */
  async during(
    id: SandboxId,
    body: (signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    if (this.#running.has(id)) return
    const own = new AbortController()
    this.#running.set(id, own)
    try {
      await body(AbortSignal.any([signal, own.signal]))
    } catch (error) {
      if (!own.signal.aborted) throw error
    } finally {
      this.#running.delete(id)
    }
  }

  stop(id: SandboxId): void {
    this.#running.get(id)?.abort()
  }
}

export const reclaim: Carry<'reclaim'> = async (ground, { id, bytes }, signal) => {
  const dir = groupDir(ground, 'memory', id)
  if (dir === undefined || !ground.abilities.reclaim)
    throw new Fault('unsupported', 'reclaim', `push out memory of ${id}: not with this kernel`)
  const amount = String(Math.floor(bytes))
  const how = async (): Promise<readonly string[] | undefined> => {
    if (ground.cgroups.mode === 'v2') return ['v2', dir, amount]
    const used = await readFile(join(dir, 'memory.usage_in_bytes'), 'utf8').catch(() => undefined) // Gone.
    if (used === undefined) return undefined
    return bytes >= numberOf(used) * NEARLY_ALL ? ['all', dir] : ['down', dir, amount]
  }
  const argv = await how()
  if (argv === undefined) return
  const limit = join(dir, 'memory.limit_in_bytes')
  const ceiling = argv[0] === 'down' ? (await readFile(limit, 'utf8')).trim() : undefined
  // The helper puts it back; somebody might kill it in between.
  if (ceiling !== undefined) await ground.guardian.hold(limit, ceiling)
  try {
    await ground.reclaims.during(
      id,
      async either => {
        const options = { cwd: '/', env: HELPER_ENV, signal: either }
        await runProcess(['perl', helperPath('reclaim.pl'), ...argv], options)
      },
      signal,
    )
  } finally {
    if (ceiling !== undefined) await loosen(ground, limit, ceiling)
  }
}
