// What is done about an environment that runs, and told of it.
import { parseBytes } from '../../api/quantity.ts'
import type { Resource } from '../../api/resource.ts'
import type { ReconcileContext } from '../../core/reconcile.ts'
import { writeStatus } from '../../core/write.ts'
import { type Fault, toFault } from '../../lib/fault.ts'
import { networkPolicy } from './network.ts'
import * as occurred from './occurrences.ts'
import type { Act, EnvironmentsOptions } from './reconcile.ts'
import * as say from './status.ts'

type Environment = Resource<'Environment'>

/** Says that it is held up, or goes on again; most never are. */
export async function tellOfRoom(
  { isHeld, clock, events }: EnvironmentsOptions,
  environment: Environment,
  { store }: ReconcileContext,
): Promise<void> {
  const held = isHeld(environment.metadata.uid)
  if (held === say.isToldHeld(environment)) return
  await writeStatus(store, environment, latest => say.room(latest, held, clock.now()))
  occurred.tellOf(events.record, environment)(occurred.room(held))
}

/** What a class says of the network holds for what runs, too; of a class that is gone, what it said last. */
export async function followClass(
  { driver, clock }: EnvironmentsOptions,
  environment: Environment,
  { known, store, signal }: ReconcileContext,
): Promise<void> {
  const { metadata, spec } = environment
  const environmentClass = known('EnvironmentClass').find(
    each => each.metadata.name === spec.class && each.metadata.namespace === metadata.namespace,
  )
  if (environmentClass === undefined || spec.desired !== 'Running') return
  const policy = networkPolicy(environmentClass.spec)
  const closed = await driver.setNetwork(metadata.uid, policy, signal)
  if (!say.isNetworkNews(environment, closed)) return
  await writeStatus(store, environment, latest => say.network(latest, closed, clock.now()))
}

/** With its disk as large as its spec says now; see `Driver.ensureDisk`. */
export async function reportRunning(
  { driver, clock }: EnvironmentsOptions,
  { environment, context }: Act,
): Promise<void> {
  const { uid } = environment.metadata
  const { disk } = environment.spec
  let diskFault: Fault | undefined
  if (disk !== undefined) {
    await driver.ensureDisk(uid, parseBytes(disk), context.signal).catch(error => {
      // It runs all the same, and what cannot be done now is said.
      diskFault = toFault(error)
      if (diskFault.reason !== 'unsupported') throw error
    })
  }
  const diskBytes = (await driver.findDisk(uid))?.sizeBytes
  await writeStatus(context.store, environment, latest =>
    say.running(latest, { nowMs: clock.now(), diskBytes, diskFault }),
  )
}
