// A watch over HTTP: one JSON object per line, `{type, object}`, for as long as both sides like.
import type { IncomingMessage } from 'node:http'
import type { Kind, Resource } from '../api/resource.ts'
import type { Change } from '../core/store.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import { Fault, isFault } from '../lib/fault.ts'
import { LineSplitter } from './lines.ts'
import { faultOfStatus } from './status.ts'
import { networkFault, type Transport } from './transport.ts'

/** The server sends bookmarks about once a minute; silence for longer than this is a dead path. */
const SILENCE_MS = 90_000
/** Longest event; objects are limited to far less. */
const EVENT_BYTES = 16 * 1024 * 1024

/**
 * Changes as they come, until `signal` aborts. Faults with `expired` when the server no longer knows the revision, and
 * with `unavailable` when the connection ended, broke, or brought nothing, not even a bookmark, for 90 s.
 */
export async function* watchOver<K extends Kind>(
  transport: Transport,
  clock: Clock,
  path: string,
  parse: (json: unknown) => Resource<K>,
  signal: AbortSignal,
): AsyncGenerator<Change<K>, void, undefined> {
  if (signal.aborted) return
  const attempt = `watch ${transport.origin}${path.replace(/\?.*$/s, '')}`
  const done = new AbortController()
  try {
    const answer = await transport.stream({ method: 'GET', path, signal })
    const silence = new SilenceGuard(answer, clock, attempt)
    // Ends with the answer, or here; it holds nothing that would need waiting for.
    void silence.run(done.signal)
    const splitter = new LineSplitter(EVENT_BYTES)
    for await (const chunk of silence.chunks()) {
      for (const line of splitter.push(chunk)) {
        const change = parseEvent(line, parse, attempt)
        if (change !== undefined) yield change
        if (signal.aborted) return
      }
    }
    throw new Fault('unavailable', 'watch-ended', `${attempt}: the server ended it`)
  } catch (error) {
    if (signal.aborted) return
    throw isFault(error) ? error : networkFault(error, attempt, transport.origin)
  } finally {
    done.abort()
  }
}

/** Destroys an answer that stays silent. Only the time in which it is waited for counts: a slow consumer is no silence. */
class SilenceGuard {
  readonly #answer: IncomingMessage
  readonly #clock: Clock
  readonly #attempt: string
  #waitingSince: Millis | undefined

  constructor(answer: IncomingMessage, clock: Clock, attempt: string) {
    this.#answer = answer
    this.#clock = clock
    this.#attempt = attempt
  }

  async *chunks(): AsyncGenerator<Buffer, void, undefined> {
    this.#waitingSince = this.#clock.now()
    for await (const chunk of this.#answer as AsyncIterable<Buffer>) {
      this.#waitingSince = undefined
      yield chunk
      this.#waitingSince = this.#clock.now()
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        const silentMs = this.#waitingSince === undefined ? 0 : this.#clock.now() - this.#waitingSince
        if (silentMs >= SILENCE_MS) break
        await this.#clock.sleep(SILENCE_MS - silentMs, signal)
      }
      const message = `${this.#attempt}: nothing came for ${SILENCE_MS / 1000} s`
      this.#answer.destroy(new Fault('unavailable', 'watch-silent', message))
    } catch {
      // Aborted: the watch is over.
    }
  }
}

function parseEvent<K extends Kind>(
  line: string,
  parse: (json: unknown) => Resource<K>,
  attempt: string,
): Change<K> | undefined {
  const { type, object } = parseLine(line, attempt)
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED': {
      const resource = parse(object)
      return {
        at: resource.metadata.resourceVersion,
        type: type === 'DELETED' ? 'gone' : 'put',
        object: resource,
      }
    }
    case 'ERROR':
      throw faultOfStatus(object as Record<string, unknown>, attempt)
    default:
      // BOOKMARK: a sign of life. What later servers may add is skipped, as Kubernetes' clients do.
      return undefined
  }
}

function parseLine(line: string, attempt: string): { type?: unknown; object?: unknown } {
  try {
    return JSON.parse(line) as { type?: unknown; object?: unknown }
  } catch (cause) {
    throw new Fault('unavailable', 'watch-garbled', `${attempt}: an event is not JSON`, { cause })
  }
}
