import fc from 'fast-check'
import { expect, test } from 'vitest'
import { admit, type Claim, type HostCapacity, hostReserveBytes, memoryRatioOf } from './admission.ts'

const GIB = 2 ** 30
const claim = (memoryGib: number, diskGib = 0): Claim => ({
  memoryBytes: memoryGib * GIB,
  diskBytes: diskGib * GIB,
})
const host = (memoryGib: number, memoryRatio = 1, disk: Partial<HostCapacity> = {}): HostCapacity => ({
  memoryBytes: memoryGib * GIB,
  memoryRatio,
  ...disk,
})

test.each([
  ['an empty host takes anything', host(1), [], claim(64, 9000), undefined],
  ['what fits', host(4), [claim(1), claim(2)], claim(1), undefined],
  [
    'what does not',
    host(15),
    [claim(14.2)],
    claim(1),
    '14.2 of 15.0 GiB of memory are promised, 1.0 GiB more were asked for',
  ],
  ['overbooking', host(10, 1.5), [claim(14)], claim(1), undefined],
  [
    'overbooking has an end',
    host(10, 1.5),
    [claim(14.5)],
    claim(1),
    '14.5 of 15.0 GiB of memory are promised, 1.0 GiB more were asked for',
  ],
  ['disk not told', host(4), [claim(1, 9000)], claim(1, 9000), undefined],
  [
    'disk',
    host(8, 1, { diskBytes: 10 * GIB, diskRatio: 4 }),
    [claim(1, 20)],
    claim(1, 21),
    '20.0 of 40.0 GiB of disk are promised, 21.0 GiB more were asked for',
  ],
  [
    'both',
    host(1, 1, { diskBytes: GIB }),
    [claim(1, 1)],
    claim(1, 1),
    '1.0 of 1.0 GiB of memory are promised, 1.0 GiB more were asked for; ' +
      '1.0 of 1.0 GiB of disk are promised, 1.0 GiB more were asked for',
  ],
  ['those that are stopped take no memory', host(2), [claim(0, 5), claim(0, 5)], claim(2), undefined],
] as const)('%s', (_what, capacity, promised, asked, why) => {
  expect(admit(capacity, promised, asked)).toEqual(
    why === undefined ? { admits: true } : { admits: false, why },
  )
})

const amount = fc.integer({ min: 1, max: 64 }).map(each => each * (GIB / 4))
const claims = fc.record({ memoryBytes: amount, diskBytes: amount })
const capacities = fc.record({
  memoryBytes: amount,
  memoryRatio: fc.double({ min: 0.5, max: 4, noNaN: true }),
  diskBytes: amount,
  diskRatio: fc.double({ min: 0.5, max: 4, noNaN: true }),
})

test('never promises more than there is, but to the first', () => {
  fc.assert(
    fc.property(capacities, fc.array(claims, { maxLength: 40 }), (capacity, asked) => {
      const taken: Claim[] = []
      for (const each of asked) if (admit(capacity, taken, each).admits) taken.push(each)
      const memory = taken.reduce((sum, each) => sum + each.memoryBytes, 0)
      const disk = taken.reduce((sum, each) => sum + each.diskBytes, 0)
      expect(
        taken.length <= 1 ||
          (memory <= capacity.memoryBytes * capacity.memoryRatio &&
            disk <= capacity.diskBytes * capacity.diskRatio),
      ).toBe(true)
    }),
  )
})

test('refuses what a smaller one was refused for', () => {
  fc.assert(
    fc.property(
      capacities,
      fc.array(claims, { minLength: 1 }),
      claims,
      amount,
      (capacity, taken, each, more) => {
        const larger = { ...each, memoryBytes: each.memoryBytes + more }
        expect(admit(capacity, taken, each).admits || !admit(capacity, taken, larger).admits).toBe(true)
      },
    ),
  )
})

test('a host keeps something for itself', () => {
  expect(hostReserveBytes(24 * GIB)).toBe(GIB)
  expect(hostReserveBytes(2 * GIB)).toBeCloseTo(0.2 * GIB)
  expect([memoryRatioOf(true), memoryRatioOf(false)]).toEqual([1.5, 1])
})
