// Pages and old revisions, compared with what was really there: a list after every single write.
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '../../../test/support/postgres.ts'
import { type Key, keyOf, type Resource } from '../../api/resource.ts'
import type { Listing, ListOptions } from '../../core/store.ts'
import type { Fault } from '../../lib/fault.ts'
import { fromToken, toToken } from './continue-token.ts'

let db: TestDatabase
let namespace: string
let count = 0
beforeAll(async () => {
  db = await testDatabase()
})
afterAll(() => db.close())
beforeEach(() => {
  namespace = `lists-${++count}`
})

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f']
type Env = Resource<'Environment'>
const keyIn = (name: string, where = namespace): Key<'Environment'> => ({
  kind: 'Environment',
  namespace: where,
  name,
})
const create = (name: string, runner?: string, where = namespace): Promise<Env> =>
  db.store.create({
    kind: 'Environment',
    metadata: { name, namespace: where, labels: { team: name < 'd' ? 'x' : 'y' } },
    spec: { desired: 'Running', class: 'small', content: { empty: {} }, env: {}, ...(runner && { runner }) },
  })

/** Creates, changes, binds or removes, whatever is possible. */
async function step(name: string, action: number): Promise<void> {
  const found = await db.store.find(keyIn(name))
  if (found === undefined) await create(name, action % 2 === 0 ? 'r1' : undefined)
  else if (action === 0) await db.store.remove(keyOf(found))
  else if (action === 1 && found.spec.runner === undefined)
    await db.store.update({ ...found, spec: { ...found.spec, runner: 'r2' } }, 'main')
  else
    await db.store.update(
      { ...found, status: { ...found.status, epoch: found.status.epoch + 1, phase: 'Running' } },
      'status',
    )
}

const QUESTIONS: readonly ListOptions[] = [
  {},
  { fields: { 'spec.runner': 'r1' } },
  { fields: { 'spec.runner': '' } },
  { fields: { 'spec.runner': 'r2', 'status.phase': 'Running' } },
  { fields: { 'status.phase': 'Running' } },
  { labels: { team: 'x' } },
  { fields: { 'metadata.name': 'c' } },
]

describe('a revision', () => {
  test('is listed as it was, whatever has happened since', async () => {
    const steps = fc.array(fc.tuple(fc.constantFrom(...NAMES), fc.integer({ min: 0, max: 3 })), {
      minLength: 5,
      maxLength: 25,
    })
    await fc.assert(
      fc.asyncProperty(steps, async history => {
        namespace = `lists-${++count}`
        const seen: { question: ListOptions; listing: Listing<'Environment'> }[] = []
        for (const [name, action] of history) {
          await step(name, action)
          for (const each of QUESTIONS) {
            const question = { ...each, namespace }
            seen.push({ question, listing: await db.store.list('Environment', question) })
          }
        }
        for (const { question, listing } of seen) {
          const { at, items } = listing
          expect(await db.store.list('Environment', { ...question, at })).toEqual(listing)
          const pages: Env[] = []
          let page = await db.store.list('Environment', { ...question, at, limit: 2 })
          for (pages.push(...page.items); page.continue !== undefined; pages.push(...page.items)) {
            expect(page.items).toHaveLength(2)
            page = await db.store.list('Environment', { ...question, continue: page.continue, limit: 2 })
            expect(page.at).toBe(at)
          }
          expect(pages).toEqual(items)
        }
      }),
      { numRuns: 6 },
    )
  })

  test('that is forgotten is expired, and one that is still to come is not waited for', async () => {
    await create('a')
    const { at } = await db.store.list('Environment', { namespace })
    const future = { namespace, at: String(BigInt(at) + 1_000n) }
    await expect(db.store.list('Environment', future)).rejects.toMatchObject({ reason: 'timeout' })
    await create('b')
    await db.compact(0, 0)
    await expect(db.store.list('Environment', { namespace, at })).rejects.toMatchObject({ reason: 'expired' })
  })
})

describe('pages', () => {
  test('hold the snapshot of the first, over all namespaces, while everything changes', async () => {
    const there = `${namespace}-other`
    for (const name of NAMES) await create(name)
    for (const name of NAMES) await create(name, 'r1', there)
    const whole = await db.store.list('Environment')
    const found: Env[] = []
    let page = await db.store.list('Environment', { limit: 1 })
    for (let turn = 0; page.continue !== undefined; turn++) {
      found.push(...page.items)
      await step(NAMES[turn % NAMES.length]!, turn % 4)
      if (turn === 3) await db.store.remove(keyIn('e', there))
      page = await db.store.list('Environment', { limit: 1, continue: page.continue })
    }
    found.push(...page.items)
    expect(found).toEqual(whole.items)
    expect(page.at).toBe(whole.at)
  })

  test('say how many are left when asked, and nothing at the end', async () => {
    for (const name of NAMES) await create(name)
    const first = await db.store.list('Environment', { namespace, limit: 4, countsRemaining: true })
    expect(first.remaining).toBe(2)
    const last = await db.store.list('Environment', {
      namespace,
      limit: 4,
      countsRemaining: true,
      continue: first.continue!,
    })
    expect(last.items).toHaveLength(2)
    expect(last).not.toHaveProperty('continue')
    expect(last).not.toHaveProperty('remaining')
    const exact = await db.store.list('Environment', { namespace, limit: 6 })
    expect(exact.items).toHaveLength(6)
    expect(exact).not.toHaveProperty('continue')
  })

  test('whose snapshot is forgotten expire, and can go on in a later one', async () => {
    for (const name of NAMES) await create(name)
    const first = await db.store.list('Environment', { namespace, limit: 2 })
    await db.store.remove(keyIn('d'))
    await create('g')
    await db.compact(0, 0)
    const expired = await db.store
      .list('Environment', { namespace, limit: 2, continue: first.continue! })
      .catch((error: Fault) => error as Fault)
    expect(expired).toMatchObject({ reason: 'expired', code: 'list-expired' })
    const rest = await db.store.list('Environment', {
      namespace,
      continue: (expired as Fault).continue!,
    })
    expect(rest.items.map(({ metadata }) => metadata.name)).toEqual(['c', 'e', 'f', 'g'])
  })

  test.each([
    ['garbage', 'x!'],
    ['not JSON', Buffer.from('{').toString('base64url')],
    ['another version', Buffer.from('{"v":2,"at":"5","namespace":"n","name":"a"}').toString('base64url')],
    ['no revision', toToken({ at: '-1', namespace: 'n', name: 'a' })],
    ['leading zeros', toToken({ at: '01', namespace: 'n', name: 'a' })],
    ['more than there is', Buffer.from('{"v":1,"namespace":"n","name":"a","x":1}').toString('base64url')],
    ['too long', toToken({ at: '1', namespace: 'n', name: 'a'.repeat(4_000) })],
    ['another namespace', toToken({ at: '1001', namespace: 'other', name: 'a' })],
  ])('with a token that is %s are malformed', async (_what, token) => {
    const wrong = db.store.list('Environment', { namespace: 'n', limit: 1, continue: token })
    await expect(wrong).rejects.toMatchObject({ reason: 'malformed', code: 'continue-malformed' })
  })

  test('tokens lead back to the position that they were made of, and nothing else is one', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 1n, max: 10n ** 17n }),
        fc.stringMatching(/^[a-z0-9-]{0,63}$/),
        (at, name) => {
          const position = { at: String(at), namespace: name, name }
          expect(fromToken(toToken(position), name)).toMatchObject(position)
        },
      ),
    )
    fc.assert(
      fc.property(fc.string(), text => {
        expect(() => fromToken(text, undefined)).toThrow(expect.objectContaining({ reason: 'malformed' }))
      }),
    )
  })
})
