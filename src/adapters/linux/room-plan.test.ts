import { expect, test } from 'vitest'
import { decideRoom, dirtyBytes, roomLimits } from './room-plan.ts'

const MIB = 2 ** 20
const limits = { reserveBytes: 512 * MIB, lowBytes: 2048 * MIB }

// what, free MiB, growth in KiB by id, held already, admits, held then, trims
test.each<[string, number, Record<string, number>, string[], boolean, string[], boolean]>([
  ['plenty: nobody waits', 4000, { a: 9000 }, [], true, [], false],
  ['low: no new disks, and nobody waits', 2000, { a: 9000 }, [], false, [], true],
  ['the reserve: who writes waits', 500, { a: 9000, b: 0, c: 60 }, [], false, ['a'], true],
  ['half of it: everybody waits', 200, { a: 9000, b: 0 }, [], false, ['a', 'b'], true],
  [
    'a little more than the reserve: who waits goes on waiting',
    600,
    { a: 0, b: 9000 },
    ['a'],
    false,
    ['a'],
    true,
  ],
  ['room again: all go on', 2048, { a: 0, b: 0 }, ['a', 'b'], true, [], false],
])('%s', (_, freeMiB, growth, held, admits, hold, trims) => {
  const bytes = new Map(Object.entries(growth).map(([id, kib]) => [id, kib * 1024]))
  const decision = decideRoom({ freeBytes: freeMiB * MIB, growth: bytes, held: new Set(held) }, limits)
  expect(decision).toEqual({ admits, hold: new Set(hold), trims })
})

test('small hosts keep less', () => {
  expect(roomLimits(100 * 1024 * MIB)).toEqual(limits)
  expect(roomLimits(2000 * MIB)).toEqual({ reserveBytes: 100 * MIB, lowBytes: 700 * MIB })
})

test('what is still to be written is not free', () => {
  expect(dirtyBytes('MemTotal: 9 kB\nDirty:              2048 kB\nWriteback: 0 kB\n')).toBe(2 * MIB)
  expect(dirtyBytes('')).toBe(0)
})
