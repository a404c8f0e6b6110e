import { z } from 'zod'
import type { Millis } from '../lib/clock.ts'
import { Fault } from '../lib/fault.ts'

const UNIT_MS = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000 } as const
const FORM = /^(?:0|(?=\d)(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,7})s)?)$/

/** A span of time as people write it: `90s`, `10m`, `1h30m`, `2d`; `0` alone is none. */
export const durationSchema = z.string().regex(FORM, 'a duration such as 90s, 10m or 1h30m, or 0')

/** `1h30m` in milliseconds. Faults with `invalid` on anything that `durationSchema` would refuse. */
export function parseDuration(text: string): Millis {
  const match = FORM.exec(text)
  if (match === null)
    throw new Fault('invalid', 'duration-invalid', `'${text}' is not a duration`, {
      hint: 'write 10m or 1h30m',
    })
  const [, days = 0, hours = 0, minutes = 0, seconds = 0] = match.map(part => Number(part ?? 0))
  return days * UNIT_MS.d + hours * UNIT_MS.h + minutes * UNIT_MS.m + seconds * UNIT_MS.s
}
