import { Fault } from '../lib/fault.ts'

const NEWLINE = 10

/** Cuts a byte stream into lines; a last line without its end is not one. */
export class LineSplitter {
  readonly #limit: number
  #parts: Buffer[] = []
  #bytes = 0

  /** `limit`: bytes of the longest line that is taken. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** The lines that `chunk` completes. Faults with `too_large`. */
  push(chunk: Buffer): string[] {
    const lines: string[] = []
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#parts.push(chunk.subarray(start, end))
      lines.push(Buffer.concat(this.#parts).toString('utf8'))
      this.#parts = []
      this.#bytes = 0
      start = end + 1
    }
    const rest = chunk.subarray(start)
    this.#bytes += rest.length
    if (this.#bytes > this.#limit) {
      throw new Fault('too_large', 'line-too-long', `a line of the answer exceeds ${this.#limit} bytes`)
    }
    if (rest.length > 0) this.#parts.push(rest)
    return lines
  }
}
