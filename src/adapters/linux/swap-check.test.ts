import { expect, test } from 'vitest'
import { judgeSwap } from './swap-check.ts'

const HEAD = 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n'
const ZRAM = '/dev/zram1                              partition\t12582912\t0\t100\n'
const FILE = '/swap.img                               file\t\t2097148\t\t0\t\t-2\n'

test.each([
  ['compressed memory', HEAD + ZRAM, true, true, /^12\.0 GiB, in compressed memory/, undefined],
  ['both', HEAD + FILE + ZRAM, true, true, /^14\.0 GiB, in compressed memory/, undefined],
  ['a file, where there could be zram', HEAD + FILE, true, true, /^2\.0 GiB, on disk/, /swap: zram/],
  ['a file', HEAD + FILE, false, true, /^2\.0 GiB, on disk/, undefined],
  ['none yet', HEAD, true, true, /^none; a runner makes some/, undefined],
  ['none', HEAD, false, false, /^none: idle environments keep their memory/, /modprobe zram/],
  ['a kernel without swap', '', false, false, /^none:/, /modprobe zram/],
])('%s', (_what, swaps, hasZram, ok, found, hint) => {
  const check = judgeSwap(swaps, hasZram)
  expect(check).toMatchObject({ name: 'swap', required: false, ok, found: expect.stringMatching(found) })
  if (hint === undefined) expect(check.hint).toBeUndefined()
  else expect(check.hint).toMatch(hint)
})
