import type { OnStage, SandboxId, Stage } from '../../core/driver.ts'
import { aborted } from '../../lib/aborted.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import type { ForkServers } from './fork-server.ts'
import { forkKeeper, type Step, startKeeper } from './keeper.ts'
import type { Host } from './sandbox-plan.ts'
import { stageClock } from './stages.ts'

/** How long an aborted start may take to come to its end. */
const ABORTED_START_MS: Millis = 5_000

/** Has a keeper carry out the steps of a start; the pid of the sandbox's first process. */
export async function carryOutStart(
  {
    forks,
    host,
    clock,
    stages,
  }: {
    readonly forks: ForkServers
    readonly host: Host
    readonly clock: Clock
    readonly stages: Readonly<Record<string, Stage>>
  },
  id: SandboxId,
  steps: readonly Step[],
  signal: AbortSignal,
  onStage: OnStage,
): Promise<number> {
  const keeper = await forkKeeper(forks.keepers, host.keeperCgroups)
  const onStep = stageClock(clock, stages, onStage)
  // An aborted start is carried to its end, which is near, and then cleaned up: a keeper that is killed half-way
  // leaves its mounts to the kernel, and nobody knows when the disk is free again. One that hangs is killed all the same.
  const over = new AbortController()
  const endIsNear = async (): Promise<never> => {
    await aborted(AbortSignal.any([signal, over.signal]))
    await clock.sleep(ABORTED_START_MS, over.signal)
    throw new Fault('cancelled', 'sandbox-start-hung', `start ${id}: it hangs`)
  }
  try {
    const { ready } = startKeeper(keeper, steps, onStep)
    const hung = endIsNear()
    hung.catch(() => undefined) // The start came to its end first.
    const pid = await Promise.race([ready, hung])
    if (!signal.aborted) return pid
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    over.abort()
    keeper.control.destroy()
  }
  throw new Fault('cancelled', 'sandbox-start-cancelled', `start ${id}: cancelled`)
}
