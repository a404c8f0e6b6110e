// Rules on top of those in `api/lifecycle.ts` (which the store applies to every write): for writes that come over the
// network. Pure.

import { valueAt } from '../api/json-equal.ts'
import { namesOf } from '../api/kinds/kind-names.ts'
import type { Resource } from '../api/resource.ts'
import { Fault } from '../lib/fault.ts'

/** Status fields that only rise. `epoch` fences off whoever still acts for an earlier start. */
const MONOTONIC: readonly string[] = ['status.epoch']

/** Faults with `conflict` when a status goes back to an earlier epoch. */
export function checkStatusTransition(before: Resource, after: Resource): void {
  for (const field of MONOTONIC) {
    const [was, is] = [valueAt(before, field), valueAt(after, field)]
    if (typeof was !== 'number' || (typeof is === 'number' && is >= was)) continue
    const message = `write ${field} ${String(is)} of ${before.metadata.name}: it is at ${was} already`
    const hint = 'somebody acts for an earlier start of the environment: read it again'
    throw new Fault('conflict', 'epoch-outdated', message, { hint, object: describeObject(before) })
  }
}

/** For the `details` of a Status. */
export function describeObject(object: Resource) {
  const { name, uid } = object.metadata
  const { plural, group } = namesOf(object.kind)
  return { kind: plural, group, name, uid }
}
