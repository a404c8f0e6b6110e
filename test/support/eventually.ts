import type { Key, Kind, Resource } from '../../src/api/resource.ts'
import type { Store } from '../../src/core/store.ts'

/**
 * The object as soon as it is as it should be; undefined stands for an object that is gone. Waits for changes, never for
 * time; after `timeoutMs` it throws and shows what the object is like instead.
 */
export async function eventually<K extends Kind>(
  store: Store,
  key: Key<K>,
  isRight: (object: Resource<K> | undefined) => boolean,
  timeoutMs = 15_000,
): Promise<Resource<K> | undefined> {
  const signal = AbortSignal.timeout(timeoutMs)
  let latest: Resource<K> | undefined
  for (;;) {
    const { at } = await store.list(key.kind, { namespace: key.namespace })
    latest = await store.find(key)
    if (isRight(latest)) return latest
    for await (const change of store.watch(key.kind, { namespace: key.namespace, from: at }, signal)) {
      if (change.object.metadata.name !== key.name) continue
      latest = change.type === 'gone' ? undefined : change.object
      if (isRight(latest)) return latest
    }
    if (signal.aborted) {
      throw new Error(`after ${timeoutMs} ms, ${key.kind} ${key.name} is ${JSON.stringify(latest, null, 1)}`)
    }
  }
}
