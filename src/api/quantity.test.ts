import { expect, test } from 'vitest'
import { environmentSpecSchema } from './kinds/environment.ts'
import { environmentClassSpecSchema } from './kinds/environment-class.ts'

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
