import { closeSync, openSync, readSync } from 'node:fs'

// The longest that are read often is /proc/stat: some 100 bytes for each processor, and interrupts, which nobody needs.
const buffer = Buffer.allocUnsafe(64 * 1024)

/**
 * A file of the kernel that is read again and again: opened once, read from its beginning each time. That takes a
 * microsecond or two and blocks for no disk, so it is done in place, not by a thread.
 */
export class KeptFile {
  readonly #path: string
  #descriptor: number | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** Undefined while it is not there: the group is gone, or the kernel does not have it. */
  read(): string | undefined {
    try {
      this.#descriptor ??= openSync(this.#path, 'r')
      return buffer.toString('latin1', 0, readSync(this.#descriptor, buffer, 0, buffer.length, 0))
    } catch {
      // Gone (ENOENT, ENODEV), or switched off (EOPNOTSUPP: pressure). Either way there is nothing to be read.
      this.close()
      return undefined
    }
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }
}
