// Keeps events bounded in number and age. A copy of what matters of each (some 300 bytes) follows the feed: listing all
// of them every minute would cost more than everything else that is done with them, and a removal in the database
// itself would pass by those who watch.
import type { Resource } from '../../api/resource.ts'
import { createInformer } from '../../core/informer.ts'
import type { Store } from '../../core/store.ts'
import { aborted } from '../../lib/aborted.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { toFault } from '../../lib/fault.ts'
import type { Log } from '../../lib/log.ts'
import { type KnownEvent, LIMITS, type Limits, plan } from './plan.ts'

export interface RetentionOptions {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
  /** Default: three hours, 100 of an object, 5,000 of a namespace. */
  readonly limits?: Limits
}

const EVERY_MS: Millis = 60_000
// So many new ones are no everyday life: looked at without waiting for the minute to pass.
const FLOOD = 1_000
// A batch is one transaction and one page of the feed; between two, everybody else has their turn. 400 in a second.
const BATCH = 100
const PAUSE_MS: Millis = 250

/** Removes events until `signal` aborts; what could not be removed is tried again a minute later. */
export async function retainEvents({ store, clock, log, signal, limits }: RetentionOptions): Promise<void> {
  const copy = createInformer({ store, kind: 'Event', clock, log, keep: essence })
  const watching = copy.run(signal)
  await Promise.race([copy.synced, aborted(signal)])
  let added = 0
  let flooded = new AbortController()
  copy.onChange((_key, object, previous) => {
    if (object !== undefined && previous === undefined && ++added >= FLOOD) flooded.abort()
  })
  while (!signal.aborted) {
    added = 0
    flooded = new AbortController()
    const due = plan(copy.list().map(toKnown), clock.now(), limits ?? LIMITS)
    for (let at = 0; at < due.length && !signal.aborted; at += BATCH) {
      await Promise.all(due.slice(at, at + BATCH).map(each => remove(store, each, log)))
      await clock.sleep(PAUSE_MS, signal).catch(() => undefined) // Aborted: the loop sees it.
    }
    if (due.length > 0) log.debug({ events: due.length }, 'events removed')
    const earlier = AbortSignal.any([signal, flooded.signal])
    await clock.sleep(EVERY_MS, earlier).catch(() => undefined) // Aborted or flooded: the loop sees it.
  }
  await watching
}

async function remove(
  store: Store,
  { namespace, name, uid, resourceVersion }: KnownEvent,
  log: Log,
): Promise<void> {
  try {
    await store.remove({ kind: 'Event', namespace, name }, { uid, resourceVersion })
  } catch (error) {
    const { reason, code, message } = toFault(error)
    // Somebody else removed it, or it has happened again: judged anew in a minute.
    if (reason !== 'not_found' && reason !== 'conflict')
      log.warn({ reason, code, message }, 'event not removed, trying again later')
  }
}

const EMPTY = { apiVersion: '', kind: '', namespace: '', name: '', uid: '' }

/** Of an event, what the plan looks at. */
function essence({ apiVersion, kind, metadata, spec, status }: Resource<'Event'>): Resource<'Event'> {
  const { name, namespace = '', uid, resourceVersion, creationTimestamp } = metadata
  const { regarding, type, lastTimestamp } = spec
  return {
    apiVersion,
    kind,
    metadata: { name, namespace, uid, resourceVersion, generation: 1, creationTimestamp },
    spec: {
      regarding: { ...EMPTY, uid: regarding.uid || `${regarding.kind}/${regarding.name}` },
      type,
      reason: '',
      note: '',
      action: '',
      reportingController: '',
      reportingInstance: '',
      count: 1,
      ...(lastTimestamp === undefined ? {} : { lastTimestamp }),
    },
    status,
  }
}

function toKnown({ metadata, spec }: Resource<'Event'>): KnownEvent {
  const { namespace = '', name, uid, resourceVersion, creationTimestamp } = metadata
  return {
    namespace,
    name,
    uid,
    resourceVersion,
    about: spec.regarding.uid,
    createdMs: Date.parse(creationTimestamp),
    lastMs: spec.lastTimestamp === undefined ? undefined : Date.parse(spec.lastTimestamp),
  }
}
