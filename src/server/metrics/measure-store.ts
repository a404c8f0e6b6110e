import type { Store } from '../../core/store.ts'
import { isFault } from '../../lib/fault.ts'
import type { Metrics } from '../../lib/metrics.ts'
import type { ServerMetric } from './definitions.ts'

/** The same store, with the time that each operation takes. Watches are counted where they are served. */
export function measureStore(store: Store, metrics: Metrics<ServerMetric>): Store {
  const timed = async <T>(operation: string, work: Promise<T>): Promise<T> => {
    const startedMs = performance.now()
    const end = (outcome: string) =>
      metrics.observe('bothy_store_operation_duration_seconds', (performance.now() - startedMs) / 1000, {
        operation,
        outcome,
      })
    try {
      const result = await work
      end('ok')
      return result
    } catch (error) {
      end(isFault(error) ? error.reason : 'internal')
      throw error
    }
  }
  return {
    find: key => timed('find', store.find(key)),
    list: (kind, options) => timed('list', store.list(kind, options)),
    create: (draft, by) => timed('create', store.create(draft, by)),
    update: (next, part, by) => timed('update', store.update(next, part, by)),
    remove: (key, options) => timed('remove', store.remove(key, options)),
    watch: (kind, options, signal) => store.watch(kind, options, signal),
  }
}
