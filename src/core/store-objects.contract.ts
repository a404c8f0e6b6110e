// Objects, namespaces and questions that the store's contract is made of.
import type { Draft, Resource } from '../api/resource.ts'
import type { Reason } from '../lib/fault.ts'
import { randomSuffix } from '../lib/ids.ts'
import type { Change, Store, WatchOptions } from './store.ts'

export const randomNamespace = () => `ns-${randomSuffix(10)}`
/** The server's front door takes no objects for namespaces that are not there. */
export async function newNamespace(store: Store, name = randomNamespace()): Promise<string> {
  await store.create({ kind: 'Organization', metadata: { name }, spec: {} })
  return name
}
export const NS = randomNamespace()
export const OTHER = randomNamespace()

type Metadata = Draft<'Environment'>['metadata']

export function environment(
  name: string,
  metadata: Partial<Metadata> = {},
  { namespace }: { namespace: string } = { namespace: NS },
): Draft<'Environment'> {
  return {
    kind: 'Environment',
    metadata: { name, namespace, ...metadata },
    spec: { desired: 'Running', class: 'small', content: { empty: {} }, env: {} },
  }
}

type Env = Resource<'Environment'>
export const withLabels = (object: Env, labels: Record<string, string>): Env => ({
  ...object,
  metadata: { ...object.metadata, labels },
})
export const withFinalizers = (object: Env, finalizers: string[]): Env => ({
  ...object,
  metadata: { ...object.metadata, finalizers },
})
export const withDesired = (object: Env, desired: Env['spec']['desired']): Env => ({
  ...object,
  spec: { ...object.spec, desired },
})
export const withPhase = (object: Env, phase: Env['status']['phase']): Env => ({
  ...object,
  status: { ...object.status, phase },
})

export function isAfter(later: Resource, earlier: Resource): boolean {
  return BigInt(later.metadata.resourceVersion) > BigInt(earlier.metadata.resourceVersion)
}

// Stores over HTTP do not carry `previous`.
export function strip({ type, object }: Pick<Change<'Environment'>, 'type' | 'object'>): object {
  return { type, object }
}

export function faultOf(reason: Reason, fields: readonly string[] = []): (error: unknown) => boolean {
  return error => {
    const { reason: got, causes = [] } = error as { reason?: Reason; causes?: readonly { field: string }[] }
    return got === reason && fields.every(field => causes.some(cause => cause.field === field))
  }
}

/** A watch that is begun at once, before the caller goes on writing. */
export function watching(
  store: Store,
  options: WatchOptions,
): { first(n: number): Promise<Change<'Environment'>[]> } {
  const abort = new AbortController()
  const changes = store.watch('Environment', options, abort.signal)[Symbol.asyncIterator]()
  let next = changes.next()
  // Reported by `first`.
  next.catch(() => undefined)
  return {
    async first(n) {
      const seen: Change<'Environment'>[] = []
      try {
        while (seen.length < n) {
          const { value, done } = await next
          if (done === true) throw new Error(`the watch ended after ${seen.length} of ${n} changes`)
          seen.push(value)
          if (seen.length < n) next = changes.next()
        }
      } finally {
        abort.abort()
      }
      return seen
    },
  }
}
