import { expect, test } from 'vitest'
import { createLimiter } from './limiter.ts'
import { createManualClock } from './manual-clock.ts'

const never = new AbortController().signal

function work() {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let begun = false
  const start = () => {
    begun = true
    return promise
  }
  return { start, resolve, reject, begun: () => begun }
}

test('as many at a time as it says, in the order in which they came', async () => {
  const limit = createLimiter(2, createManualClock())
  const all = [work(), work(), work(), work()]
  const results = all.map(each => limit(each.start, never))
  const begun = () => all.map(each => each.begun())
  await Promise.resolve()
  expect(begun()).toEqual([true, true, false, false])
  all[1]!.resolve('b')
  expect(await results[1]).toBe('b')
  await expect.poll(begun).toEqual([true, true, true, false])
  all[0]!.reject(new Error('a'))
  await expect(results[0]).rejects.toThrow('a')
  await expect.poll(begun).toEqual([true, true, true, true])
  all[3]!.resolve('d')
  all[2]!.resolve('c')
  expect(await Promise.all(results.slice(2))).toEqual(['c', 'd'])
  expect(await limit(async () => 'free again', never)).toBe('free again')
})

test('who waits hears how many come before, whenever that changes and now and then', async () => {
  const clock = createManualClock()
  const limit = createLimiter(1, clock, 1_000)
  const [first, second, third] = [work(), work(), work()]
  const heard: number[] = []
  const running = [
    limit(first.start, never),
    limit(second.start, never),
    limit(third.start, never, before => heard.push(before)),
  ]
  await expect.poll(() => heard).toEqual([1])
  await clock.advance(1_000)
  await expect.poll(() => heard).toEqual([1, 1])
  first.resolve('')
  await expect.poll(() => heard).toEqual([1, 1, 0])
  second.resolve('')
  third.resolve('')
  await Promise.all(running)
  await clock.advance(5_000)
  expect(heard).toEqual([1, 1, 0])
})

test('who goes leaves the place to the next', async () => {
  const limit = createLimiter(1, createManualClock())
  const [first, second, third] = [work(), work(), work()]
  const stop = new AbortController()
  const one = limit(first.start, never)
  const two = limit(second.start, stop.signal)
  const three = limit(third.start, never)
  stop.abort()
  await expect(two).rejects.toMatchObject({ reason: 'cancelled' })
  first.resolve('')
  await one
  third.resolve('third')
  expect(await three).toBe('third')
  expect(second.begun()).toBe(false)
  await expect(limit(second.start, stop.signal)).rejects.toMatchObject({ reason: 'cancelled' })
})
