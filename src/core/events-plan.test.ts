import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NOTE_BYTES } from '../api/event-note.ts'
import { subdomainSchema } from '../api/names.ts'
import {
  ALIKE,
  BURST,
  type EventWrite,
  eventName,
  type Happening,
  type History,
  NO_HISTORY,
  plan,
  REFILL_MS,
  SAME_MS,
} from './events-plan.ts'

const NOW = 1_900_000_000_000
const REPORTER = { controller: 'runner', instance: 'here' }
const OBJECT = { name: 'calm-otter', uid: 'u1' }

interface Told {
  readonly atMs: number
  readonly write: EventWrite | undefined
}

/** What is written of these, each at its time. */
function tell(happenings: readonly (readonly [number, Partial<Happening>])[]): Told[] {
  let history: History = NO_HISTORY
  return happenings.map(([afterMs, happening]) => {
    const atMs = NOW + afterMs
    const planned = plan(history, { type: 'Normal', reason: 'Started', note: 'it runs', ...happening }, atMs)
    history = planned.history
    return { atMs, write: planned.write }
  })
}

const summary = ({ write }: Told) =>
  write && `${write.isNew ? 'new' : 'again'} ${write.reason} x${write.count} ${write.note}`

test.each([
  ['what happens once', [[0, {}]], ['new Started x1 it runs']],
  [
    'E1: the same again',
    [
      [0, {}],
      [SAME_MS - 1, {}],
    ],
    ['new Started x1 it runs', 'again Started x2 it runs'],
  ],
  [
    'E1: the same ten minutes later',
    [
      [0, {}],
      [SAME_MS, {}],
    ],
    ['new Started x1 it runs', 'new Started x1 it runs'],
  ],
  [
    'E1: ten minutes count from the last time',
    [
      [0, {}],
      [SAME_MS - 1, {}],
      [2 * SAME_MS - 2, {}],
    ],
    ['new Started x1 it runs', 'again Started x2 it runs', 'again Started x3 it runs'],
  ],
  [
    'other types, reasons and notes are other events',
    [
      [0, {}],
      [1, { type: 'Warning' }],
      [2, { reason: 'Stopped' }],
      [3, { note: 'other' }],
    ],
    ['new Started x1 it runs', 'new Started x1 it runs', 'new Stopped x1 it runs', 'new Started x1 other'],
  ],
] as const)('%s', (_what, happenings, expected) => {
  expect(tell(happenings).map(summary)).toEqual(expected)
})

test('E2: many notes of one reason are combined, and the first ones still count', () => {
  const notes = Array.from({ length: ALIKE + 3 }, (_, n) => [n, { note: `note ${n}` }] as const)
  const told = tell([...notes, [20, { note: 'note 3' }], [21, { reason: 'Stopped', note: 'done' }]])
  expect(told.slice(0, ALIKE).map(summary)).toEqual(
    notes.slice(0, ALIKE).map((_, n) => `new Started x1 note ${n}`),
  )
  expect(told.slice(ALIKE).map(summary)).toEqual([
    'new Started x1 (combined) note 10',
    'again Started x2 (combined) note 11',
    'again Started x3 (combined) note 12',
    'again Started x2 note 3',
    'new Stopped x1 done',
  ])
})

test('E3: what does not end is told ever more rarely, and nothing of the count is lost', () => {
  const told = tell(Array.from({ length: 1_000 }, (_, n) => [n * 1_000, {}] as const))
  const writes = told.flatMap(({ write, atMs }) =>
    write === undefined ? [] : [{ atMs, count: write.count }],
  )
  expect(writes.slice(0, BURST).map(({ count }) => count)).toEqual(
    Array.from({ length: BURST }, (_, n) => n + 1),
  )
  expect(writes.slice(BURST).map(({ atMs, count }) => [atMs - NOW, count])).toEqual([
    [REFILL_MS, 301],
    [2 * REFILL_MS, 601],
    [3 * REFILL_MS, 901],
  ])
})

test('E3: a first write that was left out is made up for as a new one', () => {
  const burst = Array.from({ length: BURST }, () => [0, {}] as const)
  const told = tell([...burst, [1, { reason: 'Stopped' }], [REFILL_MS, { reason: 'Stopped' }]])
  expect(told.slice(BURST).map(summary)).toEqual([undefined, 'new Stopped x2 it runs'])
})

const happening = fc.tuple(
  fc.integer({ min: 0, max: 120_000 }),
  fc.record({
    type: fc.constantFrom('Normal', 'Warning') as fc.Arbitrary<'Normal' | 'Warning'>,
    reason: fc.constantFrom('Started', 'Stopped', 'FailedStart'),
    note: fc.oneof(fc.constantFrom('a', 'b'), fc.string({ unit: 'binary', maxLength: 30 })),
  }),
)

test('whatever happens: writes, events and what is remembered are bounded; events start once and count upwards', () => {
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 200 }), gaps => {
      let atMs = 0
      const told = tell(gaps.map(([gap, each]) => [(atMs += gap), each] as const))
      const writes = told.flatMap(({ write }) => (write === undefined ? [] : [write]))
      expect(writes.length).toBeLessThanOrEqual(BURST + Math.ceil(atMs / REFILL_MS))
      const counts = new Map<string, number>()
      for (const write of writes) {
        const name = eventName(OBJECT, REPORTER, write)
        expect(write.isNew).toBe(!counts.has(name))
        expect(write.count).toBeGreaterThan(counts.get(name) ?? 0)
        counts.set(name, write.count)
        expect(Buffer.byteLength(write.note)).toBeLessThanOrEqual(NOTE_BYTES)
        expect(write.lastMs).toBeGreaterThanOrEqual(write.firstMs)
      }
    }),
  )
})

test('names are names, whatever the object is called, and follow from what is said', () => {
  const [told] = tell([[0, {}]])
  const write = told?.write as EventWrite
  for (const name of ['calm-otter', 'a'.repeat(253), `${'a'.repeat(235)}.-b`])
    expect(subdomainSchema.safeParse(eventName({ name, uid: 'u' }, REPORTER, write)).success).toBe(true)
  expect(eventName(OBJECT, REPORTER, write)).toMatch(/^calm-otter\.[0-9a-f]{16}$/)
  expect(eventName(OBJECT, REPORTER, write)).toBe(eventName(OBJECT, REPORTER, { ...write, count: 2 }))
  expect(eventName(OBJECT, REPORTER, write)).not.toBe(eventName({ ...OBJECT, uid: 'u2' }, REPORTER, write))
})
