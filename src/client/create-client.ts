import type { EntranceKind } from '../api/channels.ts'
import { type EntranceGrant, entranceGrantSchema } from '../api/entrance.ts'
import type { Key } from '../api/resource.ts'
import type { Store } from '../core/store.ts'
import { type Clock, systemClock } from '../lib/clock.ts'
import { Fault } from '../lib/fault.ts'
import { createHttpStore } from './http-store.ts'
import { objectPath, withQuery } from './paths.ts'
import { createTransport, type TransportOptions } from './transport.ts'

export interface ClientOptions extends TransportOptions {
  /** Measures silence in watches. Default: the system's. */
  readonly clock?: Clock
}

export interface RequestOptions {
  /** Sent as JSON. */
  readonly body?: unknown
  readonly query?: Readonly<Record<string, string>>
  /** Of the body. Default: `application/json`. */
  readonly contentType?: string
  readonly signal?: AbortSignal
}

/**
 * One server, one principal. Trusts the given authority and no other, follows no redirects, and sends the token to that
 * server only. Whatever the server refuses with is thrown as the very fault that it raised; a server that cannot be
 * reached is `unavailable`.
 */
export interface ApiClient {
  readonly store: Store
  /** The parsed JSON answer; undefined when it is empty. `T` is the caller's word for what the path answers. */
  request<T>(method: string, path: string, options?: RequestOptions): Promise<T>
  /** Asks to be let into an environment. Faults with `forbidden`, `not_found`, or `unavailable` while nothing runs there. */
  entrance(key: Key, kind: EntranceKind): Promise<EntranceGrant>
  /** Ends kept connections; requests on their way fail. */
  close(): Promise<void>
}

/** Faults with `malformed` unless `server` is `https://HOST[:PORT]`. Connects to nothing yet. */
export function createClient(options: ClientOptions): ApiClient {
  const transport = createTransport(options)
  const request = async <T>(method: string, path: string, more: RequestOptions = {}): Promise<T> => {
    const { query, ...outgoing } = more
    const text = await transport.text({ method, path: withQuery(path, query ?? {}), ...outgoing })
    try {
      return (text === '' ? undefined : JSON.parse(text)) as T
    } catch (cause) {
      throw new Fault('internal', 'answer-malformed', `${method} ${path}: the answer is not JSON`, { cause })
    }
  }
  return {
    store: createHttpStore({ transport, clock: options.clock ?? systemClock }),
    request,
    async entrance(key, kind) {
      const grant = entranceGrantSchema.safeParse(await request('POST', objectPath(key, kind)))
      if (grant.success) return grant.data
      throw new Fault('internal', 'answer-malformed', `enter ${key.name}: the server's answer is no grant`)
    },
    async close() {
      transport.close()
    },
  }
}
