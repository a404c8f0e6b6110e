// What an environment reads, writes, receives and sends: counters of its disk's device and of its link's end on the host.
// Looked at once a second at most: nothing is decided from them in less.
import { readFileSync } from 'node:fs'
import type { SandboxId } from '../../../core/driver.ts'
import type { EnvironmentSample } from '../../../core/governor/sample.ts'
import type { Millis } from '../../../lib/clock.ts'
import { diskImage, type Layout, runtimePaths } from '../layout.ts'
import type { SandboxState } from '../sandbox.ts'
import { interfaceName } from '../slots.ts'
import { KeptFile } from './kept-file.ts'
import { backingFile, findLoopDevice, isSameFile, parseBlockStat, statFile } from './loop-device.ts'

const LOOK_MS: Millis = 1_000
/** Who does nothing has no traffic either. */
const QUIET_LOOK_MS: Millis = 10_000

export type Traffic = Pick<EnvironmentSample, 'io' | 'network'>

export class TrafficLook {
  readonly #layout: Layout
  readonly #id: SandboxId
  #disk: { readonly backing: KeptFile; readonly stat: KeptFile } | undefined
  #link: { readonly received: KeptFile; readonly sent: KeptFile } | undefined
  #seen: Traffic = {}
  #seenMs = -Infinity

  constructor(layout: Layout, id: SandboxId) {
    this.#layout = layout
    this.#id = id
  }

  look(nowMs: Millis, isAwake: boolean): Traffic {
    if (nowMs - this.#seenMs < (isAwake ? LOOK_MS : QUIET_LOOK_MS)) return this.#seen
    this.#seenMs = nowMs
    const io = this.#lookAtDisk()
    const network = this.#lookAtLink()
    this.#seen = { ...(io && { io }), ...(network && { network }) }
    return this.#seen
  }

  close(): void {
    this.#closeDisk()
    this.#closeLink()
  }

  #lookAtDisk(): Traffic['io'] {
    // A device that was let go is soon somebody else's.
    const attached = this.#disk?.backing.read()
    if (attached === undefined || !isSameFile(attached, diskImage(this.#layout, this.#id))) {
      this.#closeDisk()
      const device = findLoopDevice(diskImage(this.#layout, this.#id))
      if (device === undefined) return undefined
      const { name } = device
      this.#disk = { backing: new KeptFile(backingFile(name)), stat: new KeptFile(statFile(name)) }
    }
    const stat = this.#disk?.stat.read()
    return stat === undefined ? undefined : parseBlockStat(stat)
  }

  #lookAtLink(): Traffic['network'] {
    this.#link ??= this.#openLink()
    // What the host's end sends is what the sandbox receives.
    const [received, sent] = [this.#link?.received.read(), this.#link?.sent.read()]
    if (received !== undefined && sent !== undefined)
      return { receivedBytes: Number(received), sentBytes: Number(sent) }
    // It is gone; that of the next start may have another name.
    this.#closeLink()
    return undefined
  }

  #openLink() {
    try {
      const { state } = runtimePaths(this.#layout, this.#id)
      const { slot } = JSON.parse(readFileSync(state, 'utf8')) as SandboxState
      const dir = `/sys/class/net/${interfaceName(this.#layout.shortId, slot, 'sandbox')}/statistics`
      return { received: new KeptFile(`${dir}/tx_bytes`), sent: new KeptFile(`${dir}/rx_bytes`) }
    } catch {
      return undefined // It is not written yet, or any more.
    }
  }

  #closeDisk(): void {
    this.#disk?.backing.close()
    this.#disk?.stat.close()
    this.#disk = undefined
  }

  #closeLink(): void {
    this.#link?.received.close()
    this.#link?.sent.close()
    this.#link = undefined
  }
}
