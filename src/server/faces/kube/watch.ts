// Watches: one JSON object per line until the client goes, the time is over, or the server closes.
//
//   resourceVersion absent or 0      everything that exists as ADDED, then changes
//   sendInitialEvents=true           the same, then a BOOKMARK that says so, then changes
//   resourceVersion N                changes after N; when N is no longer kept, an ERROR event with code 410
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { Writable } from 'node:stream'
import type { Kind, Resource } from '../../../api/resource.ts'
import type { Change, Listing } from '../../../core/store.ts'
import type { Clock, Millis } from '../../../lib/clock.ts'
import { toFault } from '../../../lib/fault.ts'
import type { Log } from '../../../lib/log.ts'
import type { Access } from '../../access.ts'
import { toStatus } from '../../status.ts'
import { eventFrame, type Frame, type Rendering, renderBookmark } from './answers.ts'
import { checkRevision, pagesOf } from './list.ts'
import { flag, integer, parseSelection, type Query, revision, type Selection } from './query.ts'
import { matchesSelectors } from './selectors.ts'
import type { Served } from './served.ts'

const BOOKMARK_MS = 60_000
// A watch ends after a while even if the client names no time, so that who may no longer watch does not for ever.
const DEFAULT_SECONDS = 1_800
const MAX_SECONDS = 86_400

export interface WatchRequest {
  readonly access: Access
  readonly served: Served
  readonly namespace: string | undefined
  readonly query: Query
  readonly rendering: Omit<Rendering, 'nowMs'>
  readonly clock: Clock
  readonly log: Log
  /** Aborts when the server closes. */
  readonly closing: AbortSignal
  /** Called just before the headers are written; until then, what is thrown becomes an answer as usual. */
  readonly onOpen: () => void
}

interface Start {
  /** Everything that exists, in pages; absent: it is not asked for. */
  readonly initial?: AsyncIterable<Listing<Kind>>
  readonly from: string
  readonly marksInitialEnd: boolean
}

/**
 * Answers on `response` until it is over. What is wrong with the request is thrown before anything is written; what
 * goes wrong later becomes an ERROR event (`expired`) or the end of the stream, after which clients watch again.
 */
export async function serveWatch(request: WatchRequest, response: ServerResponse): Promise<void> {
  const { access, served, query, clock } = request
  const selection = parseSelection(query, served, request.namespace)
  const seconds =
    integer(query, 'timeoutSeconds', MAX_SECONDS) || DEFAULT_SECONDS + Math.random() * DEFAULT_SECONDS
  const over = new AbortController()
  const end = () => over.abort()
  response.once('close', end)
  request.closing.addEventListener('abort', end, { once: true })
  if (request.closing.aborted) end()
  try {
    const start = await planStart(request, selection)
    // Asked before the headers, so that a refusal is an answer of its own.
    const changes = access.watch(served.stored, { ...selection.options, from: start.from }, over.signal)
    const stream = new EventStream(response, request, start.from, over.signal)
    request.onOpen()
    stream.open()
    void expire(clock, seconds * 1000, over)
    try {
      await stream.sendInitial(start, selection)
      if (flag(query, 'allowWatchBookmarks')) void stream.sendBookmarks(clock)
      for await (const change of changes) {
        const draining = stream.send(change, selection)
        if (draining !== undefined) await draining
      }
    } catch (error) {
      stream.fail(error)
    }
    response.end()
  } finally {
    over.abort()
    request.closing.removeEventListener('abort', end)
  }
}

async function planStart({ access, served, query }: WatchRequest, selection: Selection): Promise<Start> {
  const from = revision(query)
  const asked = query.get('sendInitialEvents')
  const wantsInitial = asked === null ? from === undefined || from === '0' : flag(query, 'sendInitialEvents')
  if (!wantsInitial && from !== undefined && from !== '0') return { from, marksInitialEnd: false }
  const pages = pagesOf(access, served.stored, selection.options)
  const first = (await pages.next()).value as Listing<Kind>
  checkRevision(query, first.at)
  if (!wantsInitial) return { from: first.at, marksInitialEnd: false }
  return { initial: prepend(first, pages), from: first.at, marksInitialEnd: asked !== null }
}

async function* prepend<T>(first: T, rest: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  yield first
  yield* rest
}

function uncork(stream: Writable): void {
  stream.uncork()
}

async function expire(clock: Clock, ms: Millis, over: AbortController): Promise<void> {
  // Rejects when the watch is over earlier, which is as well.
  await clock.sleep(ms, over.signal).catch(() => undefined)
  over.abort()
}

class EventStream {
  readonly #response: ServerResponse
  readonly #request: WatchRequest
  readonly #signal: AbortSignal
  #at: string
  #first = true

  constructor(response: ServerResponse, request: WatchRequest, from: string, signal: AbortSignal) {
    this.#response = response
    this.#request = request
    this.#at = from
    this.#signal = signal
  }

  /** The headers leave at once: clients wait for them before they trust the watch. */
  open(): void {
    this.#response.writeHead(200, {
      'content-type': 'application/json',
      'cache-control': 'no-cache, private',
    })
    this.#response.flushHeaders()
  }

  async sendInitial({ initial, from, marksInitialEnd }: Start, selection: Selection): Promise<void> {
    for await (const { items } of initial ?? []) {
      if (this.#signal.aborted) return
      for (const object of items)
        if (matchesSelectors(object, selection.labels, selection.fields))
          await this.#writeFrame(this.#render('ADDED', object))
    }
    this.#at = from
    if (marksInitialEnd)
      await this.#write(renderBookmark(this.#request.served, from, this.#rendering(), true))
  }

  /** A promise when the client has to read first: nothing more may be sent until it is kept. */
  send(change: Change, { labels, fields }: Selection): Promise<void> | undefined {
    const matches = (object: Resource) => matchesSelectors(object, labels, fields)
    const was = change.previous !== undefined && matches(change.previous)
    const is = change.type === 'put' && matches(change.object)
    this.#at = change.at
    if (is) return this.#writeFrame(this.#render(was ? 'MODIFIED' : 'ADDED', change.object))
    return was ? this.#writeFrame(this.#render('DELETED', change.object)) : undefined
  }

  /** Signs of life for both sides, until the watch is over. Each says how far the client has everything. */
  async sendBookmarks(clock: Clock): Promise<void> {
    try {
      for (;;) {
        await clock.sleep(BOOKMARK_MS, this.#signal)
        // Not when the client does not read: it will not miss a bookmark among what waits for it.
        if (this.#response.writableNeedDrain || this.#response.socket?.writableNeedDrain) continue
        this.#response.write(renderBookmark(this.#request.served, this.#at, this.#rendering(), false))
      }
    } catch {
      // Aborted: the watch is over.
    }
  }

  fail(error: unknown): void {
    if (this.#signal.aborted) return
    const fault = toFault(error)
    // Only `expired` is said in words: clients list again on it. On anything else they go on from where they were
    // when the stream just ends, while many stop for good on an ERROR.
    if (fault.reason === 'expired')
      this.#response.write(`${JSON.stringify({ type: 'ERROR', object: toStatus(fault) })}\n`)
    else this.#request.log.warn({ err: fault, kind: this.#request.served.kind }, 'watch broke off')
  }

  #render(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: Resource): Frame {
    const line = eventFrame(this.#request.served, type, object, this.#rendering(), this.#first)
    this.#first = false
    return line
  }

  #rendering(): Rendering {
    return { ...this.#request.rendering, nowMs: this.#request.clock.now() }
  }

  #write(line: Buffer | string): Promise<void> | undefined {
    if (this.#response.destroyed || this.#signal.aborted || this.#response.write(line)) return undefined
    return this.#drained(this.#response)
  }

  /**
   * As `#write`, past the HTTP layer: a line that is framed already goes to the socket as it is, and all that are written
   * in one turn go together. With a hundred watchers, framing each line for each of them anew was a third of the cost.
   */
  #writeFrame(frame: Frame): Promise<void> | undefined {
    const { socket, chunkedEncoding } = this.#response
    if (socket === null || !chunkedEncoding) return this.#write(frame.line)
    if (this.#response.destroyed || this.#signal.aborted) return undefined
    if (socket.writableCorked === 0) {
      socket.cork()
      process.nextTick(uncork, socket)
    }
    return socket.write(frame.chunk) ? undefined : this.#drained(socket)
  }

  async #drained(stream: Writable): Promise<void> {
    // Rejects when the watch ends meanwhile; the loop then ends too.
    await once(stream, 'drain', { signal: this.#signal }).catch(() => undefined)
  }
}
