import { expect, test } from 'vitest'
import { toFault } from '../lib/fault.ts'
import { coresSchema, parseCores } from './quantity.ts'

const CORES: readonly (readonly [string, number])[] = [
  ['2', 2],
  ['1.5', 1.5],
  ['500m', 0.5],
  ['10m', 0.01],
  ['0.01', 0.01],
  ['1500m', 1.5],
]

test.each(CORES)('%s is %d processors', (text, cores) => {
  expect(coresSchema.safeParse(text).success).toBe(true)
  expect(parseCores(text)).toBe(cores)
})

test.each(['', '0', '0m', '9m', '-1', '1e3', '0.5m', 'm', '2Gi', '1.', '00000', ' 2'])(
  '%j is no number of processors',
  text => {
    expect(coresSchema.safeParse(text).success).toBe(false)
    expect(() => parseCores(text)).toThrow('is not a number of processors')
    try {
      parseCores(text)
    } catch (error) {
      expect(toFault(error).code).toBe('quantity-invalid')
    }
  },
)
