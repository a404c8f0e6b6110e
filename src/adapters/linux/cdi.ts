// The CDI devices of this host, and what is done to give some of them to a sandbox.
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '../../lib/fault.ts'
import type { Log } from '../../lib/log.ts'
import { type CdiDevice, type ContainerEdits, type DevicePermits, parseSpec } from './cdi-spec.ts'

/** What a sandbox is given besides what all of them have. */
export interface DeviceEdits {
  readonly nodes: readonly DeviceNode[]
  readonly mounts: ContainerEdits['mounts']
  readonly env: readonly string[]
  readonly hooks: ContainerEdits['hooks']
  readonly additionalGids: readonly number[]
}

export interface DeviceNode {
  readonly path: string
  readonly major: number
  readonly minor: number
  /** Of r, w, m. */
  readonly access: string
  readonly mode: number
  /** Inside. */
  readonly uid: number
  readonly gid: number
}

export const NO_DEVICES: DeviceEdits = { nodes: [], mounts: [], env: [], hooks: [], additionalGids: [] }

export interface CdiOptions extends DevicePermits {
  /** Later ones come before earlier ones, as the specification says. */
  readonly dirs: readonly string[]
  readonly log: Log
}

export const CDI_DIRS: readonly string[] = ['/etc/cdi', '/var/run/cdi']

export class Cdi {
  readonly #options: CdiOptions
  /** What was complained about, so that it is done once. */
  readonly #told = new Set<string>()

  constructor(options: CdiOptions) {
    this.#options = options
  }

  /** Read anew each time: specs come and go with drivers. Names are sorted. */
  async available(): Promise<readonly string[]> {
    const devices = [...(await this.#read()).values()]
    for (const { name, refused } of devices)
      if (refused !== undefined) this.#tell(`${name}: ${refused}`, 'CDI device not offered')
    return devices
      .filter(each => each.refused === undefined)
      .map(each => each.name)
      .sort()
  }

  /** Faults with `unavailable`, code `device-absent`, and says which device, and why. */
  async edits(names: readonly string[]): Promise<DeviceEdits> {
    if (names.length === 0) return NO_DEVICES
    const known = await this.#read()
    const all: ContainerEdits[] = []
    for (const name of names) {
      const device = known.get(name)
      if (device === undefined)
        throw absent(name, `there is no such device in ${this.#options.dirs.join(', ')}`)
      if (device.refused !== undefined) throw absent(name, device.refused)
      // The edits of a spec are the same object for all of its devices, and are made once.
      for (const edits of device.edits) if (!all.includes(edits)) all.push(edits)
    }
    const nodes = await Promise.all(
      all.flatMap(each => each.deviceNodes).map(node => nodeOf(node, names.join(', '))),
    )
    return {
      nodes: [...new Map(nodes.map(node => [node.path, node])).values()],
      mounts: all.flatMap(each => each.mounts),
      env: all.flatMap(each => each.env),
      hooks: all.flatMap(each => each.hooks),
      additionalGids: [...new Set(all.flatMap(each => each.additionalGids))].filter(gid => gid !== 0),
    }
  }

  async #read(): Promise<ReadonlyMap<string, CdiDevice>> {
    const found = new Map<string, CdiDevice>()
    for (const dir of this.#options.dirs) {
      const here = new Map<string, CdiDevice>()
      const names = await readdir(dir).catch(() => []) // Not there: no specs.
      for (const file of names.filter(name => /\.(json|ya?ml)$/.test(name)).sort()) {
        const path = join(dir, file)
        try {
          for (const device of parseSpec(await readFile(path, 'utf8'), this.#options)) {
            const twice = here.has(device.name)
            here.set(
              device.name,
              twice ? { ...device, refused: `more than one file in ${dir} has it` } : device,
            )
          }
        } catch (error) {
          this.#tell(`${path}: ${(error as Error).message}`, 'CDI spec not read')
        }
      }
      for (const [name, device] of here) found.set(name, device)
    }
    return found
  }

  #tell(why: string, message: string): void {
    if (!this.#told.has(why)) this.#options.log.warn({ why }, message)
    this.#told.add(why)
  }
}

/** The numbers are the host's own, whatever the spec says: it may be from before a driver was loaded anew. */
async function nodeOf(node: ContainerEdits['deviceNodes'][number], name: string): Promise<DeviceNode> {
  const { path, hostPath = path, permissions = 'rw', fileMode = 0o666, uid = 0, gid = 0 } = node
  const found = await stat(hostPath).catch(() => undefined) // Not there: said below.
  if (found === undefined) throw absent(name, `the host has no ${hostPath}`)
  if (!found.isCharacterDevice()) throw absent(name, `${hostPath} is no character device`)
  const { major, minor } = numbersOf(found.rdev)
  const isMemory = major === 1 && [1, 2, 4, 11, 12].includes(minor)
  if (isMemory) throw absent(name, `${hostPath} is the whole host's`)
  return { path, major, minor, access: permissions, mode: fileMode & 0o777, uid, gid }
}

/** As the C library packs device numbers (makedev(3)): twelve bits of major, eight and twelve of minor. */
export function numbersOf(rdev: number): { major: number; minor: number } {
  const number = BigInt(rdev)
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn)
  const minor = (number & 0xffn) | ((number >> 12n) & ~0xffn & 0xffffffffn)
  return { major: Number(major), minor: Number(minor) }
}

function absent(name: string, why: string): Fault {
  return new Fault('unavailable', 'device-absent', `give device ${name}: ${why}`, {
    hint: "'kubectl get runners -o yaml' lists the devices of each; see docs/operate/devices.md",
  })
}
