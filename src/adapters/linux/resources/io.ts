// Limits of what environments read from and write to their disks.
//
//   version 2   io.max and io.weight of the environment's own group
//   version 1   blkio.throttle.* for the environment's own loop device, in its group and those below (what its processes
//               read, and write themselves) and in the root group (what the kernel writes back later, in nobody's name):
//               limits are not inherited, and each counts for itself, so that up to twice as much may be written
//
// The root group is the machine's. Only entries for devices that an environment of this runner is attached to are ever
// written, and they go with the device: a number that is let go is soon another disk's.
import { readdir } from 'node:fs/promises'
import type { SandboxId } from '../../../core/driver.ts'
import type { IoLimits } from '../../../core/governor/act.ts'
import { hierarchyOf } from '../cgroups.ts'
import { diskImage } from '../layout.ts'
import { type Carry, type Ground, groupDir, loosen, put, tighten } from './ground.ts'
import { attachedDisks, findLoopDevice, isAttached, type LoopDevice } from './loop-device.ts'

/** Which limit of `IoLimits` is in which file of the root group. */
const THROTTLES = {
  readBytesPerSecond: 'blkio.throttle.read_bps_device',
  writeBytesPerSecond: 'blkio.throttle.write_bps_device',
} as const

/** Devices that have entries in groups of version 1, the root's among them, and in which files; by environment. */
export type Throttled = Map<SandboxId, { readonly device: LoopDevice; readonly files: Set<string> }>

export const io: Carry<'io'> = async (ground, { id, limits }) => {
  const device = findLoopDevice(diskImage(ground.layout, id))
  if (device === undefined) return
  if (ground.cgroups.mode === 'v2') return limitGroup(ground, id, device, limits)
  await limitDevice(ground, id, device, limits)
}

async function limitGroup(
  ground: Ground,
  id: SandboxId,
  { number }: LoopDevice,
  { weight, readBytesPerSecond, writeBytesPerSecond }: IoLimits,
): Promise<void> {
  const dir = groupDir(ground, 'io', id)
  if (dir === undefined) return
  const rate = (bytes: number | undefined) => (bytes === undefined ? 'max' : String(Math.round(bytes)))
  const free = `${number} rbps=max wbps=max`
  const wanted = `${number} rbps=${rate(readBytesPerSecond)} wbps=${rate(writeBytesPerSecond)}`
  if (wanted === free) await loosen(ground, `${dir}/io.max`, free)
  else await tighten(ground, `${dir}/io.max`, wanted, free)
  if (weight === undefined) return
  // One of them, or none, by the host's scheduler; a share of what there is holds nobody up.
  const text = `default ${Math.round(weight)}`
  if (!(await put(`${dir}/io.weight`, text))) await put(`${dir}/io.bfq.weight`, text)
}

async function limitDevice(
  ground: Ground,
  id: SandboxId,
  device: LoopDevice,
  limits: IoLimits,
): Promise<void> {
  const root = hierarchyOf(ground.cgroups, 'blkio')
  if (root === undefined) return
  const { throttled } = ground
  const before = throttled.get(id)
  if (before !== undefined && before.device.number !== device.number) await free(ground, id)
  const own = groupDir(ground, 'blkio', id)
  const dirs = [root, ...(own === undefined ? [] : await groupsBelow(own))]
  const { files } = throttled.get(id) ?? { files: new Set<string>() }
  throttled.set(id, { device, files })
  const { number } = device
  for (const [limit, name] of Object.entries(THROTTLES) as [keyof typeof THROTTLES, string][]) {
    const bytes = limits[limit]
    for (const file of dirs.map(dir => `${dir}/${name}`)) {
      if (bytes !== undefined) {
        files.add(file)
        await tighten(ground, file, `${number} ${Math.round(bytes)}`, unlimited(number), number)
      } else if (files.delete(file)) await loosen(ground, file, unlimited(number), number)
    }
  }
  if (files.size === 0) throttled.delete(id)
}

/** Zero removes the entry. */
const unlimited = (number: string): string => `${number} 0`

/** `dir` and all groups below, which whoever is root inside makes at will; there are bounded many of them. */
async function groupsBelow(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []) // Gone: nobody is in it.
  const below = await Promise.all(
    entries.filter(each => each.isDirectory()).map(each => groupsBelow(`${dir}/${each.name}`)),
  )
  return [dir, ...below.flat()]
}

/** Takes the entries of devices away that their environments have let go. */
export async function freeForgotten(ground: Ground): Promise<void> {
  for (const [id, { device }] of ground.throttled)
    if (!isAttached(device, diskImage(ground.layout, id))) await free(ground, id)
}

async function free(ground: Ground, id: SandboxId): Promise<void> {
  const known = ground.throttled.get(id)
  if (known === undefined) return
  ground.throttled.delete(id)
  const { number } = known.device
  for (const file of known.files) await loosen(ground, file, unlimited(number), number)
}

/**
 * Takes away what an earlier runner of this name, whose guardian was killed with it, has left: entries for devices that
 * hold disks of ours.
 */
export async function freeOwn(ground: Ground): Promise<void> {
  const isV2 = ground.cgroups.mode === 'v2'
  for (const { id, device } of attachedDisks(ground.layout)) {
    const own = groupDir(ground, isV2 ? 'io' : 'blkio', id)
    if (isV2 && own !== undefined) await put(`${own}/io.max`, `${device.number} rbps=max wbps=max`)
    const root = isV2 ? undefined : hierarchyOf(ground.cgroups, 'blkio')
    if (root === undefined) continue
    const dirs = [root, ...(own === undefined ? [] : await groupsBelow(own))]
    for (const dir of dirs)
      for (const name of Object.values(THROTTLES)) await put(`${dir}/${name}`, unlimited(device.number))
  }
}
