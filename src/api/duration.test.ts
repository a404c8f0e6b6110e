import { expect, test } from 'vitest'
import { durationSchema, parseDuration } from './duration.ts'

test.each([
  ['0', 0],
  ['90s', 90_000],
  ['10m', 600_000],
  ['1h30m', 5_400_000],
  ['2d', 172_800_000],
  ['1d2h3m4s', 93_784_000],
])('%s', (text, ms) => {
  expect(durationSchema.safeParse(text).success).toBe(true)
  expect(parseDuration(text)).toBe(ms)
})

test.each(['', '10', 'm', '1m1h', '-1s', '1.5h', ' 1s', '10 m', '1w'])("refuses '%s'", text => {
  expect(durationSchema.safeParse(text).success).toBe(false)
  expect(() => parseDuration(text)).toThrow(`'${text}' is not a duration`)
})
