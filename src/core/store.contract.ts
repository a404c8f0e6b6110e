// What every Store owes: PostgreSQL's in the control plane, the API client's in a runner. Only the Store interface and
// objects that the kinds' schemas accept are used, so that the suite runs over HTTP too.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { API_VERSION, keyOf, type Resource } from '../api/resource.ts'
import type { Change, Store } from './store.ts'
import {
  environment,
  faultOf,
  isAfter,
  NS,
  newNamespace,
  OTHER,
  randomNamespace,
  strip,
  watching,
  withDesired,
  withFinalizers,
  withLabels,
  withPhase,
} from './store-objects.contract.ts'

export interface OpenStore {
  readonly store: Store
  close(): Promise<void>
}

/** `open` is called once; the suite works in namespaces with random names and expects nobody else to write there. */
export function storeContract(name: string, open: () => Promise<OpenStore>): void {
  describe(`${name} keeps the Store contract`, () => {
    let opened: OpenStore
    let store: Store
    beforeAll(async () => {
      opened = await open()
      store = opened.store
      await Promise.all([NS, OTHER].map(each => newNamespace(store, each)))
    })
    afterAll(() => opened?.close())

    describe('create', () => {
      test('fills in what the store owns', async () => {
        const made = await store.create(
          environment('made', { labels: { team: 'a' }, finalizers: ['bothy.dev/runner'] }),
        )
        expect(made).toMatchObject({
          apiVersion: API_VERSION,
          kind: 'Environment',
          metadata: {
            name: 'made',
            namespace: NS,
            generation: 1,
            labels: { team: 'a' },
            finalizers: ['bothy.dev/runner'],
          },
          spec: { desired: 'Running', class: 'small' },
          status: { phase: 'Pending', epoch: 0, conditions: [] },
        })
        expect(made.metadata.uid).toMatch(/^[0-9a-f-]{36}$/)
        expect(made.metadata.resourceVersion).toMatch(/^[1-9][0-9]*$/)
        expect(made.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
        expect(made.metadata.deletionTimestamp).toBeUndefined()
        expect(await store.find(keyOf(made))).toEqual(made)
      })

      test('refuses a name that is taken and leaves its owner alone', async () => {
        const first = await store.create(environment('taken'))
        await expect(store.create(environment('taken'))).rejects.toSatisfy(faultOf('already_exists'))
        expect(await store.find(keyOf(first))).toEqual(first)
      })

      test('lets one of many win a name', async () => {
        const all = await Promise.allSettled(
          Array.from({ length: 8 }, () => store.create(environment('race'))),
        )
        const won = all.filter(each => each.status === 'fulfilled')
        const lost = all.filter(each => each.status === 'rejected').map(each => each.reason as unknown)
        expect(won).toHaveLength(1)
        expect(lost.filter(faultOf('already_exists'))).toHaveLength(7)
      })

      test('keeps the same name of other namespaces and kinds apart', async () => {
        const here = await store.create(environment('apart'))
        const there = await store.create(environment('apart', {}, { namespace: OTHER }))
        const runner = await store.create({
          kind: 'Runner',
          metadata: { name: 'apart', namespace: NS },
          spec: { cordoned: false },
        })
        expect(new Set([here, there, runner].map(each => each.metadata.uid)).size).toBe(3)
        expect(await store.find(keyOf(there))).toEqual(there)
        expect(await store.find(keyOf(runner))).toEqual(runner)
      })
    })

    test('find misses what is not there', async () => {
      expect(await store.find({ kind: 'Environment', namespace: NS, name: 'nobody' })).toBeUndefined()
    })

    describe('update', () => {
      test('main writes metadata and spec, never status', async () => {
        const made = await store.create(environment('main'))
        // The server's front door adds annotations of its own, which are not a writer's to remove.
        const annotations = { ...made.metadata.annotations, note: 'ünï\n"quoted"' }
        const next: Resource<'Environment'> = {
          ...made,
          metadata: { ...made.metadata, labels: { tier: 'dev' }, annotations },
          spec: { ...made.spec, desired: 'Stopped', env: { A: '1' } },
          status: { ...made.status, phase: 'Failed' },
        }
        const after = await store.update(next, 'main')
        expect(after.spec).toEqual(next.spec)
        expect(after.status).toEqual(made.status)
        const { resourceVersion, managedFields } = after.metadata
        expect(after.metadata).toEqual({
          ...next.metadata,
          generation: 2,
          resourceVersion,
          // The front door keeps account of who wrote what even when nobody said who it was.
          ...(managedFields === undefined ? {} : { managedFields }),
        })
        expect(isAfter(after, made)).toBe(true)
        expect(await store.find(keyOf(made))).toEqual(after)
      })

      test('moves the generation with the spec only', async () => {
        const made = await store.create(environment('generation'))
        const labelled = await store.update(withLabels(made, { a: 'b' }), 'main')
        expect(labelled.metadata.generation).toBe(1)
        const stopped = await store.update(withDesired(labelled, 'Stopped'), 'main')
        expect(stopped.metadata.generation).toBe(2)
        const reported = await store.update(withPhase(stopped, 'Stopped'), 'status')
        expect(reported.metadata.generation).toBe(2)
      })

      test('status writes status, never metadata and spec', async () => {
        const made = await store.create(environment('status'))
        const next = withPhase(withLabels(withDesired(made, 'Stopped'), { ignored: 'yes' }), 'Running')
        const after = await store.update(next, 'status')
        expect(after.status).toEqual({ ...made.status, phase: 'Running' })
        expect(after.spec).toEqual(made.spec)
        expect(after.metadata.labels).toBeUndefined()
        expect(isAfter(after, made)).toBe(true)
      })

      test('stores nothing when nothing changes', async () => {
        const made = await store.create(environment('same', { labels: { a: '1', b: '2' } }))
        const shuffled = { ...made, metadata: { ...made.metadata, labels: { b: '2', a: '1' } } }
        expect(await store.update(shuffled, 'main')).toEqual(made)
        expect(await store.update(made, 'status')).toEqual(made)
        expect(await store.find(keyOf(made))).toEqual(made)
      })

      test('refuses a state that is not the latest', async () => {
        const made = await store.create(environment('stale'))
        const latest = await store.update(withDesired(made, 'Stopped'), 'main')
        await expect(store.update(withLabels(made, { late: 'yes' }), 'main')).rejects.toSatisfy(
          faultOf('conflict'),
        )
        await expect(store.update(withPhase(made, 'Running'), 'status')).rejects.toSatisfy(
          faultOf('conflict'),
        )
        expect(await store.find(keyOf(made))).toEqual(latest)
      })

      test('lets one of many win a state', async () => {
        const made = await store.create(environment('contended'))
        const all = await Promise.allSettled(
          Array.from({ length: 8 }, (_, n) => store.update(withLabels(made, { winner: `w${n}` }), 'main')),
        )
        const lost = all.filter(each => each.status === 'rejected').map(each => each.reason as unknown)
        expect(lost.filter(faultOf('conflict'))).toHaveLength(7)
      })

      test('misses what is gone', async () => {
        const made = await store.create(environment('went'))
        await store.remove(keyOf(made))
        await expect(store.update(withDesired(made, 'Stopped'), 'main')).rejects.toSatisfy(
          faultOf('not_found'),
        )
        await expect(store.update(withPhase(made, 'Running'), 'status')).rejects.toSatisfy(
          faultOf('not_found'),
        )
      })

      test('refuses to change what cannot change', async () => {
        const made = await store.create(environment('fixed'))
        const otherClass = { ...made, spec: { ...made.spec, class: 'large' } }
        await expect(store.update(otherClass, 'main')).rejects.toSatisfy(faultOf('invalid', ['spec.class']))
        const bound = await store.update({ ...made, spec: { ...made.spec, runner: 'one' } }, 'main')
        const moved = { ...bound, spec: { ...bound.spec, runner: 'two' } }
        await expect(store.update(moved, 'main')).rejects.toSatisfy(faultOf('invalid', ['spec.runner']))
      })
    })

    describe('remove', () => {
      test('takes an object without finalizers at once', async () => {
        const made = await store.create(environment('plain'))
        const last = await store.remove(keyOf(made))
        expect(last.metadata.uid).toBe(made.metadata.uid)
        expect(isAfter(last, made)).toBe(true)
        expect(await store.find(keyOf(made))).toBeUndefined()
        await expect(store.remove(keyOf(made))).rejects.toSatisfy(faultOf('not_found'))
      })

      test('waits for finalizers, and goes with the last of them', async () => {
        const made = await store.create(
          environment('waits', { finalizers: ['bothy.dev/runner', 'bothy.dev/backup'] }),
        )
        const deleting = await store.remove(keyOf(made))
        expect(deleting.metadata.deletionTimestamp).toMatch(/Z$/)
        expect(deleting.metadata.generation).toBe(2)
        expect(await store.find(keyOf(made))).toEqual(deleting)
        // Asking again changes nothing.
        expect(await store.remove(keyOf(made))).toEqual(deleting)

        const adding = withFinalizers(deleting, ['bothy.dev/runner', 'bothy.dev/backup', 'bothy.dev/late'])
        await expect(store.update(adding, 'main')).rejects.toSatisfy(
          faultOf('invalid', ['metadata.finalizers']),
        )
        const half = await store.update(withFinalizers(deleting, ['bothy.dev/backup']), 'main')
        expect(half.metadata.deletionTimestamp).toBe(deleting.metadata.deletionTimestamp)
        const last = await store.update(withFinalizers(half, []), 'main')
        expect(last.metadata.uid).toBe(made.metadata.uid)
        expect(isAfter(last, half)).toBe(true)
        expect(await store.find(keyOf(made))).toBeUndefined()
      })

      test('leaves word what is to become of its dependents, in the same write', async () => {
        const made = await store.create(environment('owner'))
        const seen = watching(store, { namespace: NS, from: made.metadata.resourceVersion })
        const deleting = await store.remove(keyOf(made), { propagation: 'Foreground' })
        expect(deleting.metadata).toMatchObject({ generation: 2, finalizers: ['foregroundDeletion'] })
        expect(deleting.metadata.deletionTimestamp).toMatch(/Z$/)
        expect((await seen.first(1)).map(({ object }) => object)).toEqual([deleting])
        expect(await store.remove(keyOf(made))).toEqual(deleting)
        const changed = await store.remove(keyOf(made), { propagation: 'Orphan' })
        expect(changed.metadata).toMatchObject({ generation: 2, finalizers: ['orphan'] })
        expect(changed.metadata.deletionTimestamp).toBe(deleting.metadata.deletionTimestamp)
        await store.remove(keyOf(made), { propagation: 'Background' })
        expect(await store.find(keyOf(made))).toBeUndefined()
      })

      test('keeps to its precondition', async () => {
        const made = await store.create(environment('guarded'))
        const latest = await store.update(withDesired(made, 'Stopped'), 'main')
        const { uid, resourceVersion } = made.metadata
        const otherUid = uid.replace(/.$/, last => (last === '0' ? '1' : '0'))
        await expect(store.remove(keyOf(made), { uid: otherUid })).rejects.toSatisfy(faultOf('conflict'))
        await expect(store.remove(keyOf(made), { resourceVersion })).rejects.toSatisfy(faultOf('conflict'))
        expect(await store.find(keyOf(made))).toEqual(latest)
        await store.remove(keyOf(made), { uid, resourceVersion: latest.metadata.resourceVersion })
        expect(await store.find(keyOf(made))).toBeUndefined()
      })

      test('frees the name for another object', async () => {
        const first = await store.create(environment('again'))
        await store.remove(keyOf(first))
        const second = await store.create(environment('again'))
        expect(second.metadata.uid).not.toBe(first.metadata.uid)
        expect(second.metadata.generation).toBe(1)
        await expect(store.update(withDesired(first, 'Stopped'), 'main')).rejects.toSatisfy(
          faultOf('conflict'),
        )
      })
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
        await expect(store.list('Environment', { namespace, at: future })).rejects.toSatisfy(
          faultOf('timeout'),
        )
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
  })
}
