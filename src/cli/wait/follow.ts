import type { Key, Kind, Resource } from '../../api/resource.ts'
import { describeKey } from '../../api/resource.ts'
import type { Store } from '../../core/store.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { Fault, isFault, REASONS } from '../../lib/fault.ts'

export interface FollowOptions {
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Told once each time the server stops answering. */
  readonly onTrouble?: (fault: Fault) => void
}

const RETRY_MS: Millis = 500
// A server that restarts is back in seconds. One that stays away this long is a fault of the wait, not of the object.
const PATIENCE_MS: Millis = 60_000

/**
 * Every state of one object from now on, the first at once; undefined when it is gone, which is the last. With `known`
 * the first is skipped and changes after it are followed. Survives the server's restarts; faults with `unavailable`
 * when it stays away for a minute.
 */
export async function* follow<K extends Kind>(
  store: Store,
  key: Key<K>,
  options: FollowOptions,
  known?: Resource<K>,
): AsyncGenerator<Resource<K> | undefined> {
  const { clock, signal } = options
  const scope = { namespace: key.namespace, fields: { 'metadata.name': key.name } }
  let from = known?.metadata.resourceVersion
  const uid = known?.metadata.uid
  let answeredMs = clock.now()
  let isTroubled = false
  while (!signal.aborted) {
    try {
      if (from === undefined) {
        const listing = await store.list(key.kind, scope)
        const object = listing.items[0]
        const isSame = uid === undefined || object?.metadata.uid === uid
        yield isSame ? object : undefined
        if (object === undefined || !isSame) return
        from = listing.at
      }
      isTroubled = false
      answeredMs = clock.now()
      for await (const change of store.watch(key.kind, { ...scope, from }, signal)) {
        answeredMs = clock.now()
        from = change.at
        yield change.type === 'gone' ? undefined : change.object
        if (change.type === 'gone') return
      }
      // A server ends watches now and then; one that does so at once must not be asked in a tight loop.
      if (!signal.aborted) await clock.sleep(RETRY_MS / 10, signal)
    } catch (error) {
      if (signal.aborted || !isFault(error)) throw error
      const { retry } = REASONS[error.reason]
      if (retry === 'relist') {
        from = undefined
        continue
      }
      if (retry !== 'backoff' || clock.now() - answeredMs > PATIENCE_MS) throw error
      if (!isTroubled) options.onTrouble?.(error)
      isTroubled = true
      await clock.sleep(RETRY_MS, signal)
    }
  }
  throw new Fault('cancelled', 'wait-cancelled', `wait for ${describeKey(key)}: interrupted`)
}
