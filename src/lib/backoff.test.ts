import { expect, test } from 'vitest'
import { backoffMs } from './backoff.ts'

test.each([
  [1, 0, 100],
  [2, 0, 200],
  [5, 0, 1_600],
  [9, 0, 5_000],
  [10_000, 0, 5_000],
  [0, 0, 100],
  [2, 1, 100],
  [3, 0.5, 300],
])('retry %i with a draw of %f waits %i ms', (attempt, draw, expected) => {
  expect(backoffMs(attempt, { baseMs: 100, maxMs: 5_000 }, () => draw)).toBe(expected)
})
