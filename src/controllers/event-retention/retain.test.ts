import { afterAll, beforeAll, expect, test } from 'vitest'
import { storeWith } from '../../../test/support/life-cycle.ts'
import { type TestDatabase, testDatabase } from '../../../test/support/postgres.ts'
import { eventSpecSchema } from '../../api/kinds/event.ts'
import { systemClock } from '../../lib/clock.ts'
import { silentLog } from '../../lib/log.ts'
import { createManualClock, type ManualClock } from '../../lib/manual-clock.ts'
import { retainEvents } from './retain.ts'

let db: TestDatabase
beforeAll(async () => {
  db = await testDatabase()
})
afterAll(() => db.close())

const HOUR = 60 * 60_000
const limits = { ageMs: HOUR, perObject: 150, perNamespace: 1_000 }

const create = (name: string, about: string, lastMs: number) =>
  db.store.create({
    kind: 'Event',
    metadata: { name, namespace: 'default' },
    spec: eventSpecSchema.parse({
      regarding: { kind: 'Environment', namespace: 'default', name: about, uid: about },
      note: 'a note that is not kept in the copy',
      lastTimestamp: new Date(lastMs).toISOString(),
    }),
  })

test('events go when they are old or too many; those who watch see it, and nothing else goes', async () => {
  const startMs = systemClock.now()
  const many = Array.from({ length: 400 }, (_, n) => `many.${String(n).padStart(3, '0')}`)
  await Promise.all(many.map((name, n) => create(name, 'many', startMs + n * 1_000)))
  const young = await create('young', 'young', startMs + 500_000)
  const { at } = await db.store.list('Event', {})

  const first = startRetaining(createManualClock(startMs + 600_000), 250)
  const gone: string[] = []
  const enough = new AbortController()
  for await (const { type, object } of db.store.watch('Event', { from: at }, enough.signal)) {
    if (type === 'gone') gone.push(object.metadata.name)
    if (gone.length === 250) enough.abort()
  }
  await first.end()
  expect(gone.sort()).toEqual(many.slice(0, 250))
  const left = await db.store.list('Event', { namespace: 'default' })
  expect(left.items.map(({ metadata }) => metadata.name)).toEqual([...many.slice(250), 'young'])

  // What happens again stays; what does not ages.
  const again = { ...young.spec, lastTimestamp: new Date(startMs + 50 * 60_000).toISOString(), count: 2 }
  const seenAgain = await db.store.update({ ...young, spec: again }, 'main')
  const second = startRetaining(createManualClock(startMs + HOUR + 10 * 60_000), 150)
  await second.end()
  const { items } = await db.store.list('Event', {})
  expect(items.map(({ metadata }) => metadata.resourceVersion)).toEqual([seenAgain.metadata.resourceVersion])
})

test('a flood is looked at before the minute is over', async () => {
  const clock = createManualClock(systemClock.now())
  const stop = new AbortController()
  const retaining = retainEvents({ store: db.store, clock, log: silentLog, limits, signal: stop.signal })
  // It has looked, and sleeps; nobody moves the clock from here on.
  while (clock.sleepers === 0) await clock.advance(0)
  const { at } = await db.store.list('Event', {})
  const names = Array.from({ length: 1_000 }, (_, n) => `flood.${n}`)
  await Promise.all(names.map(name => create(name, 'flood', clock.now())))
  for await (const { type } of db.store.watch('Event', { from: at }, AbortSignal.timeout(15_000))) {
    if (type === 'gone') stop.abort()
    if (stop.signal.aborted) break
  }
  expect(stop.signal.aborted).toBe(true)
  await retaining
})

/** Time goes on whenever somebody sleeps, until as many events have been removed as shall be. */
function startRetaining(clock: ManualClock, wanted: number): { end(): Promise<void> } {
  let removed = 0
  const store = storeWith(() => db.store, {
    remove: async (key, precondition) => {
      const last = await db.store.remove(key, precondition)
      removed += 1
      return last
    },
  })
  const stop = new AbortController()
  const retaining = retainEvents({ store, clock, log: silentLog, limits, signal: stop.signal })
  const ticking = (async () => {
    while (!stop.signal.aborted) await clock.advance(clock.sleepers > 0 && removed < wanted ? 250 : 0)
  })()
  return {
    async end() {
      while (removed < wanted) await clock.advance(0)
      stop.abort()
      await ticking
      await retaining
      expect(removed).toBe(wanted)
    },
  }
}
