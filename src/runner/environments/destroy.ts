import { type Outcome, settled } from '../../core/reconcile.ts'
import { writeMain, writeStatus } from '../../core/write.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { Fault, toFault } from '../../lib/fault.ts'
import * as occurred from './occurrences.ts'
import { RUNNER_FINALIZER } from './plan.ts'
import type { Act, EnvironmentsOptions } from './reconcile.ts'
import { writeRecord } from './record.ts'
import * as say from './status.ts'

/** Sandbox and disk first, then the finalizer: nothing is left when the object goes. */
export async function destroy(
  { driver, sandboxes, clock, events, settleEvents }: EnvironmentsOptions,
  { environment, record, context }: Act,
): Promise<Outcome> {
  const { store, log } = context
  const { uid } = environment.metadata
  const sinceMs = clock.now()
  const tellEvent = occurred.tellOf(events.record, environment)
  const deleting = await writeStatus(store, environment, latest => say.deleting(latest, clock.now()))
  failpoint('runner.deleting')
  sandboxes.drop(uid)
  try {
    if (record !== undefined) await writeRecord(driver.folder(uid), { ...record, deleting: true })
    await driver.destroy(uid)
  } catch (error) {
    const fault = toFault(error)
    await writeStatus(store, deleting, latest => say.deleting(latest, clock.now(), fault))
    tellEvent(occurred.failedDelete(fault))
    // Whatever the reason, people want it gone: never given up.
    throw new Fault('unavailable', 'destroy-failed', `remove environment ${uid}: ${fault.message}`, {
      cause: error,
    })
  }
  failpoint('runner.destroyed')
  log.info({ uid }, 'environment destroyed')
  tellEvent(occurred.deleted(clock.now() - sinceMs))
  await settleEvents(environment)
  await writeMain(store, deleting, latest => {
    const finalizers = (latest.metadata.finalizers ?? []).filter(each => each !== RUNNER_FINALIZER)
    return { ...latest, metadata: { ...latest.metadata, finalizers } }
  }).catch(error => {
    if (toFault(error).reason !== 'not_found') throw error // Gone is what was wanted.
  })
  return settled('sandbox and disk are gone')
}
