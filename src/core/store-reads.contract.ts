// What every Store owes to those who read: lists, pages of one moment, and watches. A part of the Store contract.
import { beforeAll, describe, expect, test } from 'vitest'
import { keyOf, type Resource } from '../api/resource.ts'
import type { Change, Store } from './store.ts'
import {
  environment,
  faultOf,
  NS,
  newNamespace,
  randomNamespace,
  strip,
  watching,
  withDesired,
  withFinalizers,
  withLabels,
  withPhase,
} from './store-objects.contract.ts'

/** `opened` is asked once the store is open. */
export function readContract(opened: () => Store): void {
  let store: Store
  beforeAll(() => {
    store = opened()
  })

  describe('list', () => {
    test('selects by namespace, fields and labels, in order of names', async () => {
      const namespace = await newNamespace(store)
      const in_ = { namespace }
      const c = await store.create(environment('c', { labels: { team: 'a', tier: 'x' } }, in_))
      const a = await store.create(environment('a', { labels: { team: 'a' } }, in_))
      const b = await store.create(environment('b', {}, in_))
      const bound = await store.update({ ...b, spec: { ...b.spec, runner: 'r1' } }, 'main')
      const running = await store.update(withPhase(a, 'Running'), 'status')
      const names = async (options: object) => {
        const { items } = await store.list('Environment', { namespace, ...options })
        return items.map(each => each.metadata.name)
      }
      expect((await store.list('Environment', { namespace })).items).toEqual([running, bound, c])
      expect(await names({ fields: { 'spec.runner': 'r1' } })).toEqual(['b'])
      expect(await names({ fields: { 'spec.runner': '' } })).toEqual(['a', 'c'])
      expect(await names({ fields: { 'status.phase': 'Running', 'spec.class': 'small' } })).toEqual(['a'])
      expect(await names({ fields: { 'metadata.name': 'c' } })).toEqual(['c'])
      expect(await names({ labels: { team: 'a' } })).toEqual(['a', 'c'])
      expect(await names({ labels: { team: 'a', tier: 'x' } })).toEqual(['c'])
      expect(await names({ labels: { team: 'a' }, fields: { 'status.phase': 'Running' } })).toEqual(['a'])
      expect(await names({ labels: { team: 'nobody' } })).toEqual([])
      const everywhere = await store.list('Environment', { fields: { 'metadata.namespace': namespace } })
      expect(everywhere.items).toHaveLength(3)
    })

    test('says of which revision it is, also when it is empty', async () => {
      const namespace = await newNamespace(store)
      const empty = await store.list('Environment', { namespace })
      expect(empty.items).toEqual([])
      const made = await store.create(environment('one', {}, { namespace }))
      const { at } = await store.list('Environment', { namespace })
      expect(BigInt(at)).toBeGreaterThanOrEqual(BigInt(made.metadata.resourceVersion))
      expect(BigInt(at)).toBeGreaterThan(BigInt(empty.at))
    })

    test('comes in pages of one moment, whatever happens in between', async () => {
      const namespace = await newNamespace(store)
      const made: Resource<'Environment'>[] = []
      for (const name of ['a', 'b', 'c', 'd', 'e'])
        made.push(await store.create(environment(name, {}, { namespace })))
      const first = await store.list('Environment', { namespace, limit: 2 })
      expect(first.items).toEqual(made.slice(0, 2))
      await store.remove(keyOf(made[2]!))
      await store.update(withPhase(made[3]!, 'Running'), 'status')
      await store.create(environment('bb', {}, { namespace }))
      const second = await store.list('Environment', { namespace, limit: 2, continue: first.continue! })
      const third = await store.list('Environment', { namespace, limit: 2, continue: second.continue! })
      expect([...second.items, ...third.items]).toEqual(made.slice(2))
      expect([second.at, third.at]).toEqual([first.at, first.at])
      expect(third.continue).toBeUndefined()
      const then = await store.list('Environment', { namespace, at: first.at })
      expect(then.items).toEqual(made)
      const wrong = store.list('Environment', { namespace, limit: 2, continue: 'forged' })
      await expect(wrong).rejects.toSatisfy(faultOf('malformed'))
      const future = String(BigInt(first.at) + 1_000_000n)
      await expect(store.list('Environment', { namespace, at: future })).rejects.toSatisfy(faultOf('timeout'))
    })

    test('refuses fields that cannot be selected', async () => {
      const wrong = store.list('Environment', { namespace: NS, fields: { 'spec.image': 'x' } })
      await expect(wrong).rejects.toSatisfy(faultOf('malformed'))
    })
  })

  describe('watch', () => {
    test('gives every change once, in order, from the revision on', async () => {
      const namespace = await newNamespace(store)
      const before = await store.create(environment('before', {}, { namespace }))
      const { at } = await store.list('Environment', { namespace })
      const made = await store.create(
        environment('seen', { finalizers: ['bothy.dev/runner'] }, { namespace }),
      )
      const seen = watching(store, { namespace, from: at })
      const stopped = await store.update(withDesired(made, 'Stopped'), 'main')
      const reported = await store.update(withPhase(stopped, 'Stopped'), 'status')
      const deleting = await store.remove(keyOf(made))
      const last = await store.update(withFinalizers(deleting, []), 'main')
      const touched = await store.update(withLabels(before, { touched: 'yes' }), 'main')
      const changes = await seen.first(6)
      expect(changes.map(strip)).toEqual(
        [
          ['put', made],
          ['put', stopped],
          ['put', reported],
          ['put', deleting],
          ['gone', last],
          ['put', touched],
        ].map(([type, object]) => strip({ type, object } as Change<'Environment'>)),
      )
      expect(changes.every(({ at, object }) => object.metadata.resourceVersion === at)).toBe(true)
    })

    test('goes on from any change without a gap', async () => {
      const namespace = await newNamespace(store)
      const { at } = await store.list('Environment', { namespace })
      for (const name of ['a', 'b', 'c', 'd']) await store.create(environment(name, {}, { namespace }))
      const all = await watching(store, { namespace, from: at }).first(4)
      const rest = await watching(store, { namespace, from: all[1]!.at }).first(2)
      expect(rest.map(strip)).toEqual(all.slice(2).map(strip))
    })

    test('does not tell of other namespaces and kinds', async () => {
      const [namespace, other] = [await newNamespace(store), await newNamespace(store)]
      const { at } = await store.list('Environment', { namespace })
      const seen = watching(store, { namespace, from: at })
      await store.create(environment('elsewhere', {}, { namespace: other }))
      await store.create({ kind: 'Runner', metadata: { name: 'r', namespace }, spec: { cordoned: false } })
      await store.create(environment('here', {}, { namespace }))
      expect((await seen.first(1)).map(each => each.object.metadata.name)).toEqual(['here'])
    })

    test('with fields: what starts to match is put, what stops to match is gone', async () => {
      const namespace = await newNamespace(store)
      const { at } = await store.list('Environment', { namespace })
      const seen = watching(store, { namespace, from: at, fields: { 'status.phase': 'Running' } })
      const pending = await store.create(environment('comes', {}, { namespace }))
      const running = await store.update(withPhase(pending, 'Running'), 'status')
      const labelled = await store.update(withLabels(running, { still: 'here' }), 'main')
      const stopped = await store.update(withPhase(labelled, 'Stopped'), 'status')
      await store.remove(keyOf(stopped))
      const again = await store.create(environment('again', {}, { namespace }))
      const rerun = await store.update(withPhase(again, 'Running'), 'status')
      await store.remove(keyOf(rerun))
      const changes = await seen.first(5)
      expect(changes.map(({ type, at, object }) => [type, object.metadata.name, at])).toEqual([
        ['put', 'comes', running.metadata.resourceVersion],
        ['put', 'comes', labelled.metadata.resourceVersion],
        ['gone', 'comes', stopped.metadata.resourceVersion],
        ['put', 'again', rerun.metadata.resourceVersion],
        ['gone', 'again', changes[4]!.at],
      ])
    })

    test('with labels: the same', async () => {
      const namespace = await newNamespace(store)
      const { at } = await store.list('Environment', { namespace })
      const seen = watching(store, { namespace, from: at, labels: { team: 'a' } })
      const plain = await store.create(environment('joins', {}, { namespace }))
      const joined = await store.update(withLabels(plain, { team: 'a' }), 'main')
      const left = await store.update(withLabels(joined, { team: 'b' }), 'main')
      const changes = await seen.first(2)
      expect(changes.map(({ type, at }) => [type, at])).toEqual([
        ['put', joined.metadata.resourceVersion],
        ['gone', left.metadata.resourceVersion],
      ])
    })

    test('many watchers see the same', async () => {
      const namespace = await newNamespace(store)
      const { at } = await store.list('Environment', { namespace })
      const watchers = Array.from({ length: 5 }, () => watching(store, { namespace, from: at }))
      const names = Array.from({ length: 20 }, (_, n) => `many-${n}`)
      await Promise.all(names.map(name => store.create(environment(name, {}, { namespace }))))
      const all = await Promise.all(watchers.map(each => each.first(20)))
      for (const changes of all) expect(changes.map(strip)).toEqual(all[0]!.map(strip))
      const revisions = all[0]!.map(each => BigInt(each.at))
      expect(revisions.every((each, n) => n === 0 || each > revisions[n - 1]!)).toBe(true)
    })

    test('faults with expired below what is kept', async () => {
      await expect(watching(store, { namespace: NS, from: '1' }).first(1)).rejects.toSatisfy(
        faultOf('expired'),
      )
    })

    test('returns when it is aborted', async () => {
      const { at } = await store.list('Environment', { namespace: NS })
      const abort = new AbortController()
      const changes = store.watch('Environment', { namespace: randomNamespace(), from: at }, abort.signal)
      const ended = (async () => {
        for await (const change of changes) return change
        return 'ended'
      })()
      abort.abort()
      expect(await ended).toBe('ended')
    })
  })
}
