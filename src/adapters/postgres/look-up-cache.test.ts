import { beforeEach, expect, test } from 'vitest'
import type { Clock } from '../../lib/clock.ts'
import { systemClock } from '../../lib/clock.ts'
import { LookUpCache } from './look-up-cache.ts'

let nowMs: number
let reads: number
let stored: string | undefined
let cache: LookUpCache<string>
const clock: Clock = { ...systemClock, now: () => nowMs }
const look = (key = 'a') =>
  cache.get(key, async () => {
    reads++
    return stored
  })
beforeEach(() => {
  nowMs = 1_000
  reads = 0
  stored = 'one'
  cache = new LookUpCache(clock)
  cache.listening(true)
})

test('what was found is remembered for a while', async () => {
  for (let n = 0; n < 3; n++) expect(await look()).toBe('one')
  expect(reads).toBe(1)
  stored = 'two'
  nowMs += 15_000
  expect(await look()).toBe('two')
})

test('that nothing was found is not remembered', async () => {
  stored = undefined
  expect(await look()).toBeUndefined()
  stored = 'one'
  expect(await look()).toBe('one')
})

test('what has changed is forgotten, also by a look-up that began before', async () => {
  await look()
  stored = 'two'
  cache.clear()
  expect(await look()).toBe('two')

  const began = Promise.withResolvers<string>()
  const slow = cache.get('slow', () => began.promise)
  cache.clear()
  began.resolve('old')
  expect(await slow).toBe('old')
  stored = 'new'
  expect(await look('slow')).toBe('new')
})

test('nothing is remembered while changes cannot be heard of', async () => {
  await look()
  cache.listening(false)
  await look()
  await look()
  expect(reads).toBe(3)
  cache.listening(true)
  await look()
  await look()
  expect(reads).toBe(4)
})

test('it does not grow without bounds', async () => {
  for (let n = 0; n < 5_000; n++) await look(`key-${n}`)
  expect(reads).toBe(5_000)
  await look('key-4999')
  expect(reads).toBe(5_000)
  await look('key-0')
  expect(reads).toBe(5_001)
})
