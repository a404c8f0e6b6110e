import { expect, test } from 'vitest'
import { toFault } from '../lib/fault.ts'
import { environmentSpecSchema } from './kinds/environment.ts'
import { environmentClassSpecSchema } from './kinds/environment-class.ts'
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

test.each([
  ['8Ti', true],
  ['20Gi', true],
  ['8796093022209', false],
  ['9T', false],
  ['100Ti', false],
  ['0', false],
])('a disk of %s: %s', (disk, isSize) => {
  const ofClass = environmentClassSpecSchema.safeParse({ image: 'registry.example.com/dev:1', disk })
  expect([environmentSpecSchema.safeParse({ disk }).success, ofClass.success]).toEqual([isSize, isSize])
})
