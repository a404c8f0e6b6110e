// The block device that an environment's disk is attached to, found from what the kernel says of its loop devices. Its
// counters and limits are those of the environment's own disk, buffered writes included, whoever writes them back.
import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import type { SandboxId } from '../../../core/driver.ts'
import type { EnvironmentSample } from '../../../core/governor/sample.ts'
import { isUuid } from '../../../lib/ids.ts'
import { environmentsDir, type Layout } from '../layout.ts'

const BLOCK = '/sys/block'

export interface LoopDevice {
  /** e.g. `loop3`. */
  readonly name: string
  /** Major and minor number, as limits name it: `7:3`. */
  readonly number: string
}

export const backingFile = (name: string): string => `${BLOCK}/${name}/loop/backing_file`
export const statFile = (name: string): string => `${BLOCK}/${name}/stat`

/** Of the file that lies at `image`, a path with a uid in it; undefined while it is not attached. */
export function findLoopDevice(image: string): LoopDevice | undefined {
  for (const name of readdirSync(BLOCK)) {
    if (!name.startsWith('loop')) continue
    const device = { name, number: '' }
    if (isAttached(device, image)) return { name, number: read(`${BLOCK}/${name}/dev`) ?? '' }
  }
  return undefined
}

/** Disks of this runner's environments that are attached, with their devices. */
export function attachedDisks(layout: Layout): { readonly id: SandboxId; readonly device: LoopDevice }[] {
  const dir = environmentsDir(layout)
  return readdirSync(BLOCK).flatMap(name => {
    const shown = name.startsWith('loop') ? read(backingFile(name)) : undefined
    const id = shown?.startsWith(`${dir}/`) ? (shown.split('/').at(-2) ?? '') : ''
    if (!isUuid(id)) return []
    return [{ id, device: { name, number: read(`${BLOCK}/${name}/dev`) ?? '' } }]
  })
}

export const isAttached = ({ name }: LoopDevice, image: string): boolean =>
  isSameFile(read(backingFile(name)) ?? '', image)

/** The kernel shows the path as the namespace has it that attached the file: its end is what is sure to be the same. */
export function isSameFile(shown: string, image: string): boolean {
  const end = image.split('/').slice(-3)
  return shown.trim().split('/').slice(-3).join('/') === end.join('/') && basename(image) !== ''
}

/** From a device's `stat`. Its sectors have 512 bytes, whatever the disk's own have; its times are milliseconds. */
export function parseBlockStat(text: string): NonNullable<EnvironmentSample['io']> {
  const fields = text.trim().split(/\s+/).map(Number)
  const sum = (...at: readonly number[]) => at.reduce((total, each) => total + (fields[each] ?? 0), 0)
  return {
    readBytes: sum(2) * 512,
    writtenBytes: sum(6) * 512,
    busyUs: sum(9) * 1000,
    // Reads, writes, and flushes, which older kernels do not tell of.
    operations: sum(0, 4, 15),
    operationsUs: sum(3, 7, 16) * 1000,
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return undefined // Nothing is attached to it, or it is gone.
  }
}
