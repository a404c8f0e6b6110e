import type { Kind, Resource } from '../../api/resource.ts'
import type { ListOptions, Store } from '../../core/store.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { isFault, REASONS } from '../../lib/fault.ts'

const RETRY_MS: Millis = 1_000

/**
 * What there is, then each change, as lists of objects; removed ones come once more in their last state. Goes on over
 * restarts of the server until `signal` aborts, and then ends quietly: it was asked to.
 */
export async function* watchScope<K extends Kind>(
  store: Store,
  kind: K,
  scope: ListOptions,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): AsyncGenerator<readonly Resource<K>[]> {
  const seen = new Map<string, string>()
  const isNews = ({ metadata }: Resource<K>) => seen.get(metadata.uid) !== metadata.resourceVersion
  let isFirst = true
  let from: string | undefined
  while (!signal.aborted) {
    try {
      if (from === undefined) {
        const listing = await store.list(kind, scope)
        const news = listing.items.filter(isNews)
        for (const { metadata } of news) seen.set(metadata.uid, metadata.resourceVersion)
        if (isFirst || news.length > 0) yield news
        isFirst = false
        from = listing.at
      }
      for await (const change of store.watch(kind, { ...scope, from }, signal)) {
        from = change.at
        seen.set(change.object.metadata.uid, change.object.metadata.resourceVersion)
        yield [change.object]
      }
      if (!signal.aborted) await clock.sleep(RETRY_MS / 10, signal)
    } catch (error) {
      if (signal.aborted) return
      if (!isFault(error) || isFirst) throw error
      const { retry } = REASONS[error.reason]
      if (retry !== 'relist' && retry !== 'backoff') throw error
      if (retry === 'relist') from = undefined
      else await clock.sleep(RETRY_MS, signal).catch(() => undefined) // Aborted: the loop sees it.
    }
  }
}
