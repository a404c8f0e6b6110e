// The Store over the API: what the control plane keeps, as seen through its front door.
import { apiVersionOf, namesOf } from '../api/kinds/kind-names.ts'
import { WIRE_FORMS } from '../api/kinds/wire-forms.ts'
import { type Draft, describeKey, type Key, type Kind, keyOf, type Resource } from '../api/resource.ts'
import type { Listing, PageOptions, Part, RemoveOptions, Store, WatchOptions, Writer } from '../core/store.ts'
import type { Clock } from '../lib/clock.ts'
import { Fault, isFault } from '../lib/fault.ts'
import { collectionPath, objectPath, selectorQuery, withQuery } from './paths.ts'
import type { Transport } from './transport.ts'
import { watchOver } from './watch.ts'

/** Objects per page of a list. */
const PAGE = 500

export interface HttpStoreOptions {
  readonly transport: Transport
  readonly clock: Clock
}

export function createHttpStore({ transport, clock }: HttpStoreOptions): Store {
  const call = async (method: string, path: string, body?: unknown): Promise<unknown> =>
    parseJson(
      await transport.text({ method, path, ...(body === undefined ? {} : { body }) }),
      `${method} ${path}`,
    )

  const find = async <K extends Kind>(key: Key<K>): Promise<Resource<K> | undefined> => {
    try {
      return parseResource(key.kind, await call('GET', objectPath(key)))
    } catch (error) {
      if (isFault(error) && error.reason === 'not_found') return undefined
      throw error
    }
  }

  return {
    find,

    async list<K extends Kind>(kind: K, options: PageOptions = {}): Promise<Listing<K>> {
      const path = collectionPath(kind, options.namespace)
      const page = (query: Record<string, string>) =>
        call('GET', withQuery(path, { ...selectorQuery(options), ...pageQuery(options), ...query })).then(
          json => parseList(kind, json),
        )
      if (options.limit !== undefined) return page({})
      try {
        const items: Resource<K>[] = []
        let more: Record<string, string> = {}
        for (;;) {
          const listing = await page({ limit: String(PAGE), ...more })
          items.push(...listing.items)
          if (listing.continue === undefined) return { items, at: listing.at }
          // Where the first page was of a revision, so are the others.
          more = { continue: listing.continue, resourceVersion: '', resourceVersionMatch: '' }
        }
      } catch (error) {
        if (!isFault(error) || error.reason !== 'expired') throw error
        // The snapshot that the pages come from was forgotten meanwhile: then all of it in one answer.
        if (options.at !== undefined || options.continue !== undefined) throw error
        const { items, at } = await page({})
        return { items, at }
      }
    },

    async create<K extends Kind>(draft: Draft<K>, by?: Writer): Promise<Resource<K>> {
      const path = withQuery(collectionPath(draft.kind, draft.metadata.namespace), writeQuery(by, 'main'))
      return parseResource(draft.kind, await call('POST', path, toWire(draft)))
    },

    async update<K extends Kind>(next: Resource<K>, part: Part, by?: Writer): Promise<Resource<K>> {
      const subresource = part === 'status' ? 'status' : undefined
      const path = withQuery(objectPath(keyOf(next), subresource), writeQuery(by, part))
      return parseResource(next.kind, await call('PUT', path, toWire(next)))
    },

    async remove<K extends Kind>(key: Key<K>, options: RemoveOptions = {}): Promise<Resource<K>> {
      const { propagation, ...preconditions } = options
      const answer = await call('DELETE', objectPath(key), {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        preconditions,
        ...(propagation === undefined ? {} : { propagationPolicy: propagation }),
      })
      return parseResource(key.kind, answer)
    },

    watch<K extends Kind>(kind: K, options: WatchOptions, signal: AbortSignal) {
      const query = {
        ...selectorQuery(options),
        watch: 'true',
        allowWatchBookmarks: 'true',
        resourceVersion: options.from,
      }
      const path = withQuery(collectionPath(kind, options.namespace), query)
      return watchOver(transport, clock, path, json => parseResource(kind, json), signal)
    },
  }
}

function pageQuery({ limit, continue: from, at }: PageOptions): Record<string, string> {
  return {
    ...(limit === undefined ? {} : { limit: String(limit) }),
    ...(from === undefined ? {} : { continue: from }),
    ...(at === undefined ? {} : { resourceVersion: at, resourceVersionMatch: 'Exact' }),
  }
}

function parseList<K extends Kind>(kind: K, json: unknown): Listing<K> {
  const { items, metadata } = json as {
    items?: unknown
    metadata?: { resourceVersion?: unknown; continue?: unknown; remainingItemCount?: unknown }
  }
  if (!Array.isArray(items) || typeof metadata?.resourceVersion !== 'string')
    throw malformed(`a list of ${kind}`)
  // Items of a Kubernetes list need not repeat what they are.
  const whole = items.map(item => parseResource(kind, { kind, ...(item as object) }))
  return {
    items: whole,
    at: metadata.resourceVersion,
    ...(typeof metadata.continue === 'string' && metadata.continue !== ''
      ? { continue: metadata.continue }
      : {}),
    ...(typeof metadata.remainingItemCount === 'number' ? { remaining: metadata.remainingItemCount } : {}),
  }
}

/** A status that a newer runner writes may have fields that the server does not know: those are lost, the rest stands. */
function writeQuery(by: Writer | undefined, part: Part): Record<string, string> {
  return {
    fieldValidation: part === 'main' ? 'Strict' : 'Warn',
    ...(by === undefined ? {} : { fieldManager: by.manager }),
  }
}

/** What is sent: with its type, in the form that its kind has on the wire. */
function toWire(object: Draft | Resource): object {
  const { kind, metadata, ...halves } = object
  const { spec, status } = halves as Resource
  const fields =
    WIRE_FORMS[kind]?.toWire({ spec, status }) ?? (status === undefined ? { spec } : { spec, status })
  return { apiVersion: apiVersionOf(namesOf(kind)), kind, metadata, ...fields }
}

/**
 * The server has validated what it stores, and its certificate says that it is ours; this only makes sure that it is an
 * object of that kind at all.
 */
function parseResource<K extends Kind>(kind: K, json: unknown): Resource<K> {
  const resource = fromWire(kind, json)
  const { name, uid, resourceVersion } = resource?.metadata ?? {}
  const whole = resource?.kind === kind && resource.spec !== undefined && resource.status !== undefined
  if (!whole || name === undefined || uid === undefined || resourceVersion === undefined) {
    const said = name === undefined ? kind : describeKey({ kind, namespace: '', name })
    throw malformed(said)
  }
  return resource as Resource<K>
}

function fromWire<K extends Kind>(kind: K, json: unknown): Partial<Resource<K>> | null {
  const form = WIRE_FORMS[kind]
  if (form === undefined || json === null || typeof json !== 'object')
    return json as Partial<Resource<K>> | null
  const { apiVersion, kind: said, metadata, ...fields } = json as Record<string, unknown>
  return { apiVersion, kind: said, metadata, ...form.toStored(fields) } as Partial<Resource<K>>
}

function parseJson(text: string, attempt: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new Fault('internal', 'answer-malformed', `${attempt}: the answer is not JSON`, { cause })
  }
}

function malformed(what: string): Fault {
  const hint = 'are client and server of the same version?'
  return new Fault('internal', 'answer-malformed', `the server's answer is not ${what}`, { hint })
}
