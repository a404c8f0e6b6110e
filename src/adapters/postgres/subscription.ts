import type { WatchOptions } from '../../core/store.ts'
import { Fault } from '../../lib/fault.ts'
import type { FeedEntry } from './rows.ts'

// Entries are shared by all watchers, so that a full buffer costs its list only.
export const BUFFER_LIMIT = 10_000

/** What one watcher has still to read: filled by the feed, drained by the watcher, bounded. */
export class Subscription {
  readonly kind: string
  readonly options: WatchOptions
  readonly #from: bigint
  readonly #signal: AbortSignal
  #buffer: FeedEntry[] = []
  #fault: Fault | undefined
  #wake: (() => void) | undefined

  /** Of the changes after `from` in the options' namespace; their fields and labels are the watcher's to look at. */
  constructor(kind: string, options: WatchOptions, from: bigint, signal: AbortSignal) {
    this.kind = kind
    this.options = options
    this.#from = from
    this.#signal = signal
    signal.addEventListener('abort', this.#onAbort)
  }

  readonly #onAbort = (): void => this.#wake?.()

  close(): void {
    this.#signal.removeEventListener('abort', this.#onAbort)
  }

  push(entry: FeedEntry): void {
    const { namespace } = this.options
    if (namespace !== undefined && entry.namespace !== namespace) return
    if (this.#fault !== undefined || entry.revision <= this.#from) return
    this.#buffer.push(entry)
    if (this.#buffer.length > BUFFER_LIMIT) {
      const message = `watch ${entry.kind}: the reader is more than ${BUFFER_LIMIT} changes behind`
      this.fail(
        new Fault('expired', 'watcher-too-slow', message, { hint: 'list again and watch from there' }),
      )
    }
    this.#wake?.()
  }

  /** Ends it: what is buffered is dropped, and `take` throws from now on. */
  fail(fault: Fault): void {
    this.#fault ??= fault
    this.#buffer = []
    this.#wake?.()
  }

  /** Waits for entries and takes them all; none when the signal aborts. Throws the fault that ended the subscription. */
  async take(): Promise<readonly FeedEntry[]> {
    while (!this.#signal.aborted) {
      if (this.#fault !== undefined) throw this.#fault
      if (this.#buffer.length > 0) {
        const taken = this.#buffer
        this.#buffer = []
        return taken
      }
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    return []
  }
}
