// The two ends of a byte channel as streams. Memory is bounded by the windows: a receiver holds at most one window of
// bytes that its consumer has not taken, a sender hands over no more than it was granted.
import { Readable, Writable } from 'node:stream'
import { FRAME_BYTES, WINDOW_BYTES } from '../api/channels.ts'

/** Bytes taken by the consumer are granted again in portions of this size, not one by one. */
const GRANT_BYTES = WINDOW_BYTES / 4

/** Receiving end. Ends when the sender closed the channel; `fail` breaks it off instead. */
export class ChannelReadable extends Readable {
  readonly #grant: (count: number) => void
  readonly #queue: Uint8Array[] = []
  #window = 0
  #taken = 0
  #wanted = false
  #ended = false

  constructor(grant: (count: number) => void) {
    super({ highWaterMark: FRAME_BYTES })
    this.#grant = grant
    // Whoever needs to know of a broken channel hears of it from the entrance too; a stream that nobody listens to
    // must not bring the process down.
    this.on('error', () => undefined)
  }

  /** Lets the sender begin. */
  open(): void {
    this.#window += WINDOW_BYTES
    this.#grant(WINDOW_BYTES)
  }

  /** False when the sender sends more than it may, or after its end. */
  receive(bytes: Uint8Array): boolean {
    if (bytes.length > this.#window || this.#ended) return false
    this.#window -= bytes.length
    if (this.destroyed) {
      // Nobody wants it any more; the sender is not to be held up by that.
      this.#take(bytes.length)
    } else {
      this.#queue.push(bytes)
      this.#flush()
    }
    return true
  }

  finish(): void {
    this.#ended = true
    this.#flush()
  }

  /** As `finish` if the sender had closed the channel, else an error: what came is not all. */
  fail(error: Error): void {
    if (!this.#ended) this.destroy(error)
  }

  override _read(): void {
    this.#wanted = true
    this.#flush()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const left = this.#queue.splice(0).reduce((sum, bytes) => sum + bytes.length, 0)
    this.#take(left)
    done(error)
  }

  #flush(): void {
    while (this.#wanted) {
      const bytes = this.#queue.shift()
      if (bytes === undefined) {
        if (this.#ended) {
          this.#wanted = false
          this.push(null)
        }
        return
      }
      this.#wanted = this.push(bytes)
      this.#take(bytes.length)
    }
  }

  #take(count: number): void {
    this.#taken += count
    if (this.#taken < GRANT_BYTES || this.#ended) return
    this.#window += this.#taken
    this.#grant(this.#taken)
    this.#taken = 0
  }
}

export interface ChannelSink {
  bytes(bytes: Uint8Array): void
  /** The last of them was sent. */
  end(): void
}

/**
 * Sending end. After `discard` everything written is taken and forgotten, without an error: a command that never reads
 * its input is not a failure of whoever writes to it; how the entrance ended says the rest.
 */
export class ChannelWritable extends Writable {
  readonly #sink: ChannelSink
  #credit = 0
  #discarding = false
  #blocked: (() => void) | undefined

  constructor(sink: ChannelSink) {
    super({ highWaterMark: FRAME_BYTES })
    this.#sink = sink
    this.on('error', () => undefined)
  }

  grant(count: number): void {
    this.#credit += count
    this.#resume()
  }

  discard(): void {
    this.#discarding = true
    this.#resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    let rest = chunk
    const send = () => {
      while (rest.length > 0 && this.#credit > 0 && !this.#discarding) {
        const bytes = rest.subarray(0, Math.min(this.#credit, FRAME_BYTES))
        rest = rest.subarray(bytes.length)
        this.#credit -= bytes.length
        this.#sink.bytes(bytes)
      }
      if (rest.length === 0) done()
      // Not at once: a source without end, which nobody stops, would never let anything else happen.
      else if (this.#discarding) setImmediate(done)
      else this.#blocked = send
    }
    send()
  }

  override _final(done: () => void): void {
    if (!this.#discarding) this.#sink.end()
    done()
  }

  #resume(): void {
    const blocked = this.#blocked
    this.#blocked = undefined
    blocked?.()
  }
}
