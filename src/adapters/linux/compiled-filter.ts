import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * The seccomp filter as the kernel takes it. The runtime takes 7 ms to compile one, a fifth of a start, and it is the same
 * for all; so it is asked to do so for the first sandbox of a runner's process, and given the result from then on.
 */
export class CompiledFilter {
  #base64: string | undefined

  /** For the annotation below, or undefined as long as nobody has compiled it. */
  get base64(): string | undefined {
    return this.#base64
  }

  /** Takes what the runtime keeps in `dir`, its folder of one container; only root writes there. */
  async learn(dir: string): Promise<void> {
    if (this.#base64 !== undefined) return
    // Not there: that container is gone already, and the next one is asked.
    const filter = await readFile(join(dir, 'seccomp.bpf')).catch(() => undefined)
    if (filter !== undefined && filter.length > 0) this.#base64 = filter.toString('base64')
  }
}

/** Of crun: a compiled filter, used instead of the one that `linux.seccomp` describes. */
export const FILTER_ANNOTATION = 'run.oci.seccomp_bpf_data'
