import { z } from 'zod'
import { Fault } from '../lib/fault.ts'

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
}

/** A number of bytes as Kubernetes writes quantities: `4Gi`, `500M`, `1048576`. */
export const bytesSchema = z
  .string()
  .regex(/^[1-9][0-9]{0,14}(k|M|G|T|Ki|Mi|Gi|Ti)?$/, 'a number of bytes such as 4Gi or 500M')
  .refine(text => Number.isSafeInteger(bytesOf(text)), 'too large')

/**
 * Size of a disk. No more than 8 TiB: a small ext4 that is to grow to 16 needs more inodes than there can be, and would not
 * be mounted any more; and what describes a file system, all of which is written at once, is 16 MB for each TiB.
 */
export const diskSizeSchema = bytesSchema.refine(text => bytesOf(text) <= 8 * 2 ** 40, 'at most 8Ti')

/** `4Gi` in bytes. Faults with `invalid` on anything that `bytesSchema` would refuse. */
export function parseBytes(text: string): number {
  const bytes = bytesOf(text)
  if (Number.isSafeInteger(bytes)) return bytes
  throw new Fault('invalid', 'quantity-invalid', `'${text}' is not a number of bytes`, {
    hint: 'write 4Gi or 500M',
  })
}

/** A number of processors as Kubernetes writes quantities: `2`, `1.5`, `500m`; at least a hundredth of one. */
export const coresSchema = z
  .string()
  .regex(/^([0-9]{1,4}(\.[0-9]{1,3})?|[1-9][0-9]{0,6}m)$/, 'a number of processors such as 2, 1.5 or 500m')
  // The kernel takes no quota below 1 ms in a period of 100 ms.
  .refine(text => coresOf(text) >= 0.01, 'at least 10m')

/** `500m` as a number: 0.5. Faults with `invalid` on anything that `coresSchema` would refuse. */
export function parseCores(text: string): number {
  const parsed = coresSchema.safeParse(text)
  if (parsed.success) return coresOf(parsed.data)
  throw new Fault('invalid', 'quantity-invalid', `'${text}' is not a number of processors`, {
    hint: 'write 2 or 500m',
  })
}

/** Bytes as a quantity, in the largest unit that says it exactly: `20Gi`. */
export function formatQuantity(bytes: number): string {
  const unit = (['Ti', 'Gi', 'Mi', 'Ki'] as const).find(each => bytes > 0 && bytes % UNITS[each]! === 0)
  return unit === undefined ? String(bytes) : `${bytes / UNITS[unit]!}${unit}`
}

/** About so many bytes, rounded up to Mi: for what is measured, which nobody reads to the byte. `0` for none. */
export function roundedQuantity(bytes: number): string {
  return bytes <= 0 ? '0' : `${Math.ceil(bytes / UNITS['Mi']!)}Mi`
}
const coresOf = (text: string): number =>
  text.endsWith('m') ? Number(text.slice(0, -1)) / 1000 : Number(text)

function bytesOf(text: string): number {
  const match = /^([1-9][0-9]{0,14})([kMGT]i?|Ki)?$/.exec(text)
  return match === null ? Number.NaN : Number(match[1]) * (UNITS[match[2] ?? ''] ?? Number.NaN)
}
