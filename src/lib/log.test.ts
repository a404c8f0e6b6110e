import { expect, test } from 'vitest'
import { humanLine } from './log.ts'

test('an entry for people has level, name, message and details, and no control characters', () => {
  const entry = {
    level: 40,
    time: 1,
    pid: 2,
    hostname: 'h',
    name: 'runner',
    object: 'environment a/b',
    n: 3,
    msg: 'start failed',
  }
  expect(humanLine(JSON.stringify(entry))).toBe(
    'warning: runner: start failed (object: environment a/b, n: 3)\n',
  )
  expect(humanLine(JSON.stringify({ level: 30, msg: 'x', said: '\u001b[2Jgone\nnext' }))).toBe(
    'info: x (said:  [2Jgone next)\n',
  )
})
