import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type KnownEvent, LIMITS, plan } from './plan.ts'

const NOW = 1_900_000_000_000
const MINUTE = 60_000
const limits = { ageMs: 180 * MINUTE, perObject: 2, perNamespace: 3 }

const event = (name: string, agoMinutes: number, more: Partial<KnownEvent> = {}): KnownEvent => ({
  namespace: 'default',
  name,
  uid: name,
  resourceVersion: '1',
  about: name,
  createdMs: NOW - agoMinutes * MINUTE,
  lastMs: NOW - agoMinutes * MINUTE,
  ...more,
})

test.each([
  ['young events stay', [event('a', 1), event('b', 179)], []],
  ['old ones go, the oldest first', [event('a', 180), event('b', 300), event('c', 1)], ['b', 'a']],
  ['what happened again is young again', [event('a', 500, { lastMs: NOW - MINUTE })], []],
  ['without a time, its creation counts', [event('a', 200, { lastMs: undefined })], ['a']],
  ['a time in the future is not believed', [event('a', 200, { lastMs: NOW + 900 * MINUTE })], ['a']],
  ['clocks that differ a little are', [event('a', 200, { lastMs: NOW + MINUTE })], []],
  ['a time before its creation is not believed', [event('a', 10, { lastMs: 0 })], []],
  [
    'of too many about one object, the oldest go',
    [event('a', 3, { about: 'x' }), event('b', 1, { about: 'x' }), event('c', 2, { about: 'x' })],
    ['a'],
  ],
  [
    'objects of one name in two namespaces are two',
    [
      event('a', 3, { about: 'x' }),
      event('b', 1, { about: 'x' }),
      event('c', 2, { about: 'x', namespace: 'n' }),
    ],
    [],
  ],
  [
    'of too many in a namespace, the oldest go',
    [1, 5, 2, 4, 3].map(ago => event(`e${ago}`, ago)),
    ['e5', 'e4'],
  ],
  [
    'what goes for its object takes no place in the namespace',
    [1, 2, 3, 4].map(ago => event(`e${ago}`, ago, { about: ago === 4 ? 'y' : 'x' })),
    ['e3'],
  ],
] as const)('%s', (_what, events, expected) => {
  expect(plan(events, NOW, limits).map(({ name }) => name)).toEqual(expected)
})

test('what is kept is within the limits, nothing that could stay goes, and a second look finds nothing', () => {
  const some = fc.record({
    namespace: fc.constantFrom('a', 'b'),
    about: fc.constantFrom('x', 'y', 'z'),
    ago: fc.integer({ min: 0, max: 200 }),
  })
  fc.assert(
    fc.property(fc.array(some, { maxLength: 40 }), given => {
      const events = given.map(({ ago, ...more }, n) => event(`e${n}`, ago, more))
      const removed = new Set(plan(events, NOW, limits))
      const kept = events.filter(each => !removed.has(each))
      const young = events.filter(({ createdMs }) => NOW - createdMs < limits.ageMs)
      for (const namespace of ['a', 'b']) {
        const within = kept.filter(each => each.namespace === namespace)
        expect(within.length).toBeLessThanOrEqual(limits.perNamespace)
        for (const about of ['x', 'y', 'z'])
          expect(within.filter(each => each.about === about).length).toBeLessThanOrEqual(limits.perObject)
        if (young.some(each => each.namespace === namespace)) expect(within).not.toEqual([])
      }
      expect(kept.every(each => young.includes(each))).toBe(true)
      expect(plan(kept, NOW, limits)).toEqual([])
    }),
  )
})

test('by default events stay for three hours', () => {
  expect(plan([event('a', 179), event('b', 181)], NOW).map(({ name }) => name)).toEqual(['b'])
  expect(LIMITS.perObject).toBeLessThan(LIMITS.perNamespace)
})
