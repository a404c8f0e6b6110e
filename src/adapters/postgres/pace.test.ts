import { expect, test } from 'vitest'
import { Pace } from './pace.ts'

/** Whoever wants a turn every `everyMs` gets them when? */
function turns(count: number, everyMs: number): number[] {
  const pace = new Pace()
  const times: number[] = []
  let now = 0
  for (let turn = 0; turn < count; turn++) {
    now = Math.max(now, turn * everyMs)
    now += pace.delayMs(now)
    pace.took(now)
    times.push(now)
  }
  return times
}

test('a burst passes at once, what follows comes every 20 ms', () => {
  expect(turns(12, 0)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 20, 40, 60, 80])
})

test('whoever comes seldom never waits', () => {
  expect(turns(20, 15)).toEqual(Array.from({ length: 20 }, (_, turn) => turn * 15))
})

test('after a pause the next burst passes at once again', () => {
  const pace = new Pace()
  for (let turn = 0; turn < 30; turn++) pace.took(turn * 10)
  expect(pace.delayMs(291)).toBe(19)
  expect(pace.delayMs(390)).toBe(0)
})
