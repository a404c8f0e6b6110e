// What every Store owes: PostgreSQL's in the control plane, the API client's in a runner. Only the Store interface and
// objects that the kinds' schemas accept are used, so that the suite runs over HTTP too.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { API_VERSION, keyOf, type Resource } from '../api/resource.ts'
import type { Store } from './store.ts'
import {
  environment,
  faultOf,
  isAfter,
  NS,
  newNamespace,
  OTHER,
  watching,
  withDesired,
  withFinalizers,
  withLabels,
  withPhase,
} from './store-objects.contract.ts'
import { readContract } from './store-reads.contract.ts'

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

    readContract(() => store)
  })
}
