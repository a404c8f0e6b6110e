import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Resource } from '../../api/resource.ts'
import type { FeedEntry } from './rows.ts'
import { isSelected } from './selection.ts'
import { Subscription } from './subscription.ts'
import { SubscriptionIndex } from './subscription-index.ts'

const object = (runner: string | undefined, phase: string): Resource =>
  ({
    kind: 'Environment',
    metadata: { name: 'e', namespace: 'n' },
    spec: { ...(runner === undefined ? {} : { runner }) },
    status: { phase },
  }) as unknown as Resource

const runners = fc.constantFrom(undefined, 'r1', 'r2', 'r3')
const states = fc.tuple(runners, fc.constantFrom('Running', 'Stopped'))
const selections = fc.constantFrom<Record<string, string> | undefined>(
  undefined,
  { 'spec.runner': 'r1' },
  { 'spec.runner': 'r2', 'status.phase': 'Running' },
  { 'spec.runner': '' },
  { 'status.phase': 'Stopped' },
)

test('whoever selects what was or what is gets the change, once; who selects another runner never sees it', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(selections, { minLength: 1, maxLength: 8 }),
      fc.array(fc.tuple(fc.option(states, { nil: undefined }), states), { minLength: 1, maxLength: 10 }),
      fc.nat(7),
      async (wanted, changes, leaving) => {
        const index = new SubscriptionIndex()
        const done = new AbortController()
        const all = wanted.map(
          fields =>
            new Subscription('Environment', { from: '0', ...(fields && { fields }) }, 0n, done.signal),
        )
        for (const each of all) index.add(each)
        const gone = all[leaving]
        if (gone !== undefined) index.delete(gone)
        expect(index.size).toBe(all.length - (gone === undefined ? 0 : 1))

        const entries = changes.map(
          ([before, after], n): FeedEntry => ({
            revision: BigInt(n + 1),
            kind: 'Environment',
            namespace: 'n',
            removed: false,
            object: object(...after),
            previous: before && object(...before),
          }),
        )
        for (const entry of entries) index.push(entry)
        index.push({ ...entries[0]!, revision: 100n, kind: 'Runner' })
        const end = { ...entries[0]!, revision: 101n }
        for (const each of all) {
          // So that there is something to take.
          each.push(end)
          const taken = (await each.take()).filter(entry => entry !== end)
          expect(new Set(taken).size).toBe(taken.length)
          if (each === gone) expect(taken).toEqual([])
          else {
            const concerned = entries.filter(
              entry =>
                isSelected(entry.object, each.options) ||
                (entry.previous !== undefined && isSelected(entry.previous, each.options)),
            )
            expect(taken.filter(entry => concerned.includes(entry))).toEqual(concerned)
          }
        }
        for (const each of all) index.delete(each)
        expect(index.size).toBe(0)
      },
    ),
  )
})

test('a change of one runner is not offered to the others', async () => {
  const index = new SubscriptionIndex()
  const { signal } = new AbortController()
  const of = (runner: string) =>
    new Subscription('Environment', { from: '0', fields: { 'spec.runner': runner } }, 0n, signal)
  const [mine, other] = [of('r1'), of('r2')]
  index.add(mine)
  index.add(other)
  const entry = { kind: 'Environment', namespace: 'n', removed: false, previous: undefined }
  index.push({ ...entry, revision: 1n, object: object('r1', 'Running') })
  index.push({ ...entry, revision: 2n, object: object('r2', 'Running') })
  expect((await mine.take()).map(({ revision }) => revision)).toEqual([1n])
  expect((await other.take()).map(({ revision }) => revision)).toEqual([2n])
})
