import { join } from 'node:path'
import type { Isolation } from '../../api/isolation.ts'
import type { SandboxSpec } from '../../core/driver.ts'
import { Fault } from '../../lib/fault.ts'
import { CRUN } from './crun.ts'
import { makeInsideTools } from './inside-tools.ts'
import type { Layout } from './layout.ts'
import { createRunsc } from './runsc.ts'
import { findRunsc, type RunscProgram } from './runsc-program.ts'
import type { Runtime } from './runtime.ts'

// Enough to end what still runs after the program was removed.
const GONE: RunscProgram = { path: 'runsc', version: 'unknown', platform: 'ptrace', flags: new Set() }

/** What this host makes sandboxes with. */
export class Runtimes {
  readonly #insideDir: string

  constructor(layout: Layout) {
    this.#insideDir = join(layout.runtime, 'inside')
  }

  async prepare(): Promise<void> {
    await makeInsideTools(this.#insideDir)
  }

  async list(): Promise<readonly Isolation[]> {
    return (await findRunsc()) === undefined ? ['userns'] : ['userns', 'gvisor']
  }

  /** For a new sandbox. Faults with `unavailable` when the host lacks it, `unsupported` when it cannot do what is asked. */
  async choose({ id, isolation = 'userns', devices = [] }: SandboxSpec): Promise<Runtime> {
    const able = await this.list()
    if (!able.includes(isolation)) {
      const message = `start ${id} with isolation '${isolation}': this host can do ${able.join(', ')}`
      const hint =
        "install it ('bothy doctor' on the runner's machine says how), or change spec.isolation of the class"
      throw new Fault('unavailable', 'isolation-absent', message, { hint })
    }
    const runtime = await this.of(isolation)
    if (devices.length === 0 || runtime.givesDevices) return runtime
    const message = `start ${id} with isolation '${isolation}' and devices ${devices.join(', ')}: it gives no devices`
    throw new Fault('unsupported', 'isolation-devices', message, {
      hint: 'use isolation userns in classes with devices',
    })
  }

  /** For one that runs. */
  async of(isolation: Isolation): Promise<Runtime> {
    return isolation === 'userns' ? CRUN : createRunsc((await findRunsc()) ?? GONE, this.#insideDir)
  }
}
