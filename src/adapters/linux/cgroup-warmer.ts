import { type ChildProcess, spawn } from 'node:child_process'
import { HELPER_ENV, helperPath } from './helper.ts'

/** Has the kernel's wait for a change of cgroups taken by somebody who has the time: see warm.pl. A few MB. */
export class CgroupWarmer {
  readonly #child: ChildProcess

  /** `file` is the cgroup.procs of a group that its process may live in. */
  constructor(file: string) {
    this.#child = spawn('perl', [helperPath('warm.pl'), file], {
      cwd: '/',
      env: HELPER_ENV,
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    })
    this.#child.once('error', () => undefined) // Starts are slower without it, and work.
    this.#child.stdin?.on('error', () => undefined) // As above.
    this.#child.unref()
  }

  /** A start is near: within the next 80 ms it will change cgroups. */
  warm(): void {
    this.#child.stdin?.write('.')
  }

  close(): void {
    this.#child.stdin?.end()
  }
}
