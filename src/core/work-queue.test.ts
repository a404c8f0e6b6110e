import { expect, test } from 'vitest'
import { createManualClock } from '../lib/manual-clock.ts'
import { WorkQueue } from './work-queue.ts'

const open = () => {
  const clock = createManualClock()
  const queue = new WorkQueue({ clock, backoff: { baseMs: 100, maxMs: 1_000 }, random: () => 0 })
  const stop = new AbortController()
  return { clock, queue, stop, take: () => queue.take(stop.signal) }
}

/** What is ready right now. */
async function drain(queue: WorkQueue): Promise<string[]> {
  const keys: string[] = []
  for (;;) {
    const signal = AbortSignal.abort()
    const none = new AbortController()
    const next = queue.take(none.signal)
    none.abort()
    const key = await next
    if (key === undefined || !signal.aborted) return keys
    keys.push(key)
  }
}

test('a key that waits is not added twice, and the order of arrival is kept', async () => {
  const { queue } = open()
  for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key)
  expect(await drain(queue)).toEqual(['a', 'b', 'c'])
})

test('a key is with one worker at a time, and comes again if it was added meanwhile', async () => {
  const { queue, take } = open()
  queue.add('a')
  expect(await take()).toBe('a')
  queue.add('a')
  queue.add('a')
  expect(await drain(queue)).toEqual([])
  queue.done('a')
  expect(await drain(queue)).toEqual(['a'])
  queue.done('a')
  expect(await drain(queue)).toEqual([])
})

test('a worker that waits gets the next key, and the keys spread over the workers', async () => {
  const { queue, take } = open()
  const workers = [take(), take()]
  queue.add('a')
  queue.add('b')
  expect(await Promise.all(workers)).toEqual(['a', 'b'])
})

test('of two delays the shorter holds, and adding ends the wait', async () => {
  const { clock, queue } = open()
  queue.addAfter('a', 1_000)
  queue.addAfter('a', 500)
  queue.addAfter('a', 2_000)
  await clock.advance(499)
  expect(await drain(queue)).toEqual([])
  await clock.advance(1)
  expect(await drain(queue)).toEqual(['a'])
  queue.done('a')
  queue.addAfter('a', 500)
  queue.add('a')
  expect(await drain(queue)).toEqual(['a'])
  queue.done('a')
  await clock.advance(5_000)
  expect(await drain(queue)).toEqual([])
})

test('each failure in a row doubles the wait, up to the ceiling; success resets it', async () => {
  const { queue } = open()
  expect(Array.from({ length: 6 }, () => queue.retry('a'))).toEqual([100, 200, 400, 800, 1_000, 1_000])
  expect(queue.retry('b')).toBe(100)
  queue.forget('a')
  expect([queue.failures('a'), queue.retry('a')]).toEqual([0, 100])
})

test('when everything fails at once, retries are spread out', async () => {
  const clock = createManualClock()
  const queue = new WorkQueue({
    clock,
    backoff: { baseMs: 100, maxMs: 100 },
    retries: { perSecond: 10, burst: 2 },
    random: () => 0,
  })
  expect(['a', 'b', 'c', 'd'].map(key => queue.retry(key))).toEqual([100, 100, 200, 300])
  await clock.advance(10_000)
  expect(queue.retry('e')).toBe(100)
})

test('aborting ends the wait of a worker, and the key goes to another one', async () => {
  const { queue, stop, take } = open()
  const leaving = take()
  stop.abort()
  expect(await leaving).toBeUndefined()
  queue.add('a')
  expect(await queue.take(new AbortController().signal)).toBe('a')
})

test('closing leaves no timer behind', async () => {
  const { clock, queue } = open()
  queue.addAfter('a', 1_000)
  queue.retry('b')
  expect(clock.sleepers).toBe(2)
  queue.close()
  expect(clock.sleepers).toBe(0)
})
