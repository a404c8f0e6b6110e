import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Claim, divide } from './shares.ts'

const ALL = Number.POSITIVE_INFINITY

// total, [weight, wants]…, given
const CASES: readonly (readonly [number, readonly (readonly [number, number])[], readonly number[]])[] = [
  [2, [], []],
  [2, [[100, 0.5]], [0.5]],
  [2, [[100, ALL]], [2]],
  [
    2,
    [
      [100, ALL],
      [100, ALL],
    ],
    [1, 1],
  ],
  [
    2,
    [
      [300, ALL],
      [100, ALL],
    ],
    [1.5, 0.5],
  ],
  [
    2,
    [
      [100, ALL],
      [100, 0.2],
      [100, ALL],
    ],
    [0.9, 0.2, 0.9],
  ],
  [
    0,
    [
      [100, ALL],
      [100, 1],
    ],
    [0, 0],
  ],
]

test.each(CASES)('%d among %j gives %j', (total, claims, given) => {
  const found = divide(
    total,
    claims.map(([weight, wants]) => ({ weight, wants })),
  ).given
  expect(found).toHaveLength(given.length)
  given.forEach((each, at) => expect(found[at]).toBeCloseTo(each, 9))
})

const claim: fc.Arbitrary<Claim> = fc.record({
  weight: fc.integer({ min: 1, max: 10_000 }),
  wants: fc.oneof(fc.double({ min: 0, max: 64, noNaN: true }), fc.constant(ALL)),
})

test('shares sum to what there is, or to what is wanted; nobody gets more than it wants', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 128, noNaN: true }),
      fc.array(claim, { maxLength: 40 }),
      (total, claims) => {
        const { given } = divide(total, claims)
        const wanted = claims.reduce((sum, each) => sum + each.wants, 0)
        expect(given.reduce((sum, each) => sum + each, 0)).toBeCloseTo(Math.min(total, wanted), 6)
        claims.forEach((each, at) => {
          expect(given[at]).toBeGreaterThanOrEqual(0)
          expect(given[at]).toBeLessThanOrEqual(each.wants)
        })
      },
    ),
  )
})

test('who gets less than it wants has as much for its weight as any other', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.1, max: 128, noNaN: true }),
      fc.array(claim, { minLength: 1, maxLength: 40 }),
      (total, claims) => {
        const { given, level } = divide(total, claims)
        claims.forEach(({ weight, wants }, at) => {
          const own = (given[at] as number) / weight
          if ((given[at] as number) < wants) expect(own).toBeCloseTo(level, 9)
          else expect(own).toBeLessThanOrEqual(level + 1e-9)
        })
      },
    ),
  )
})
