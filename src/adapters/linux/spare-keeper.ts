import type { ChildProcess } from 'node:child_process'
import { spawnKeeper } from './keeper.ts'

/**
 * One keeper ahead of its use: started, in its cgroups, in its mount namespace, waiting. It costs a few MB and saves
 * every single start what does not depend on the sandbox (about a third of it). A burst takes the others cold.
 */
export class SpareKeeper {
  readonly #cgroupFiles: readonly string[]
  #spare: ChildProcess | undefined
  #closed = false

  constructor(cgroupFiles: readonly string[]) {
    this.#cgroupFiles = cgroupFiles
  }

  /** The spare one, or a new one. */
  take(): ChildProcess {
    const spare = this.#spare
    this.#spare = undefined
    if (spare !== undefined && spare.exitCode === null && spare.signalCode === null) return spare
    return spawnKeeper(this.#cgroupFiles, 'ignore')
  }

  /** Makes sure that there is one for the next start. */
  refill(): void {
    if (this.#closed || this.#spare !== undefined) return
    const spare = spawnKeeper(this.#cgroupFiles, 'ignore')
    // The start that takes it meets the same errors, and tells.
    spare.once('error', () => undefined)
    spare.stdio[3]?.once('error', () => undefined)
    this.#spare = spare
  }

  /** Lets the spare one go; keepers at work are nobody's but their sandboxes'. */
  close(): void {
    this.#closed = true
    // Its control descriptor closes, which it takes for the end.
    this.#spare?.stdio[3]?.destroy()
    this.#spare = undefined
  }
}
