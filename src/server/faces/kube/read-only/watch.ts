// Watching what never changes: what there is, and then nothing until the time is over. Tools that wait for a definition
// to be established, or keep a copy of all definitions, insist on it.
import type { ServerResponse } from 'node:http'
import type { Clock } from '../../../../lib/clock.ts'
import { flag, integer, type Query, revision } from '../query.ts'

const DEFAULT_SECONDS = 1_800
const MAX_SECONDS = 86_400

export interface ReadOnlyWatch {
  readonly query: Query
  /** Of each object, and of the bookmark that ends them. */
  readonly type: { readonly apiVersion: string; readonly kind: string }
  readonly objects: readonly object[]
  readonly at: string
  readonly clock: Clock
  /** Aborts when the server closes. */
  readonly closing: AbortSignal
  /** Called just before the headers are written; until then, what is thrown becomes an answer as usual. */
  readonly onOpen: () => void
}

/** Answers on `response` until it is over. Faults with `malformed`, before anything is written. */
export async function serveReadOnlyWatch(watch: ReadOnlyWatch, response: ServerResponse): Promise<void> {
  const { query, clock, closing } = watch
  const lines = linesOf(watch)
  const seconds =
    integer(query, 'timeoutSeconds', MAX_SECONDS) || DEFAULT_SECONDS + Math.random() * DEFAULT_SECONDS
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  watch.onOpen()
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache, private' })
  response.flushHeaders()
  for (const line of lines) response.write(`${JSON.stringify(line)}\n`)
  // Rejects when the client or the server goes first, which is as well.
  await clock.sleep(seconds * 1000, AbortSignal.any([gone.signal, closing])).catch(() => undefined)
  response.end()
}

function linesOf({ query, type, objects, at }: ReadOnlyWatch): object[] {
  const from = revision(query)
  const asked = query.get('sendInitialEvents')
  const isInitial = asked === null ? from === undefined || from === '0' : flag(query, 'sendInitialEvents')
  if (!isInitial) return []
  const annotations = { 'k8s.io/initial-events-end': 'true' }
  const bookmark = { type: 'BOOKMARK', object: { ...type, metadata: { resourceVersion: at, annotations } } }
  return [...objects.map(object => ({ type: 'ADDED', object })), ...(asked === null ? [] : [bookmark])]
}
