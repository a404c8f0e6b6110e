import { expect, test } from 'vitest'
import { describeCapacity } from './capacity.ts'

const GIB = 2 ** 30

test.each([
  [
    'with swap, half again as much is promised',
    { cores: 2, memoryBytes: 24 * GIB, hasSwap: true, diskBytes: 250 * GIB },
    { diskRatio: 10 },
    { cores: 2, memory: '23Gi', memoryRatio: 1.5, disk: '250Gi', diskRatio: 10 },
  ],
  [
    'without, what there is',
    { cores: 2, memoryBytes: 2 * GIB + 12_345, hasSwap: false, diskBytes: undefined },
    {},
    { cores: 2, memory: '1843Mi', memoryRatio: 1 },
  ],
  [
    'what its operator says',
    { cores: 8, memoryBytes: 10 * GIB, hasSwap: true, diskBytes: undefined },
    { memoryRatio: 3 },
    { cores: 8, memory: '9Gi', memoryRatio: 3 },
  ],
])('%s', (_what, size, terms, expected) => {
  expect(describeCapacity(size, terms)).toEqual(expected)
})
