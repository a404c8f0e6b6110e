// Random families of objects, of which some are deleted in some order, while the collector's knowledge lags behind and
// its attempts come in any order: whatever happens on the way, in the end exactly those are left that ought to be.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { forRemove, forUpdate, type Step as Write } from '../../api/lifecycle.ts'
import { PROPAGATIONS, type Propagation } from '../../api/propagation.ts'
import type { Key, Kind, OwnerReference, Resource } from '../../api/resource.ts'
import { ownerStates } from './act.ts'
import { nodeOf, OwnershipGraph, referenceTo } from './ownership.ts'
import { plan, type Step } from './plan.ts'

interface Case {
  /** Owners of each object, as indexes into the list. */
  readonly owners: readonly (readonly { readonly of: number; readonly blocks: boolean }[])[]
  readonly deletions: readonly { readonly of: number; readonly propagation: Propagation }[]
  /** What happens next, again and again. */
  readonly chances: readonly number[]
}

const SIZE = 8
const index = fc.nat(SIZE - 1)
const cases: fc.Arbitrary<Case> = fc.record({
  owners: fc.array(
    fc.uniqueArray(fc.record({ of: index, blocks: fc.boolean() }), {
      maxLength: 3,
      selector: each => each.of,
    }),
    {
      minLength: SIZE,
      maxLength: SIZE,
    },
  ),
  deletions: fc.array(fc.record({ of: index, propagation: fc.constantFrom(...PROPAGATIONS) }), {
    maxLength: 4,
  }),
  chances: fc.array(fc.nat(1_000), { minLength: 40, maxLength: 40 }),
})

test('what is left is what has not been deleted, and has an owner that is left if it ever had one', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ owners, deletions, chances }) => {
      const world = new World(owners, chances)
      let expected: Family = new Map(owners.map((each, i) => [i, each.map(({ of }) => of)]))
      for (const { of, propagation } of deletions) {
        world.remove(of, propagation)
        await world.settle()
        expected = afterDeletion(expected, of, propagation)
        expect(world.left()).toEqual([...expected.keys()])
      }
      expect(world.references()).toEqual(expected)
    }),
    { numRuns: 500 },
  )
})

test('deletions that overlap leave nobody behind, and take nobody along who has an owner', async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ owners, deletions, chances }) => {
      const world = new World(owners, chances)
      for (const { of, propagation } of deletions) world.remove(of, propagation)
      await world.settle()
      const left = world.references()
      for (const [of, its] of left) {
        expect(deletions.map(each => each.of)).not.toContain(of)
        expect(its.filter(owner => !left.has(owner))).toEqual([])
      }
      const orphaned = deletions.filter(({ propagation }) => propagation === 'Orphan').map(each => each.of)
      const gone = owners.map((_, i) => i).filter(i => !left.has(i))
      for (const each of gone.filter(i => !deletions.some(({ of }) => of === i))) {
        expect(owners[each]).not.toHaveLength(0)
        // Orphaned before or after its other owners went: both are right. Else every owner has gone before it.
        if (!owners[each]!.some(({ of }) => orphaned.includes(of)))
          expect(owners[each]!.filter(({ of }) => left.has(of))).toEqual([])
      }
    }),
    { numRuns: 500 },
  )
})

/** Objects that are left, with their owners. */
type Family = ReadonlyMap<number, readonly number[]>

/** The rule, said once more and without time: the largest set in which everybody keeps an owner. */
function afterDeletion(family: Family, of: number, propagation: Propagation): Family {
  if (!family.has(of)) return family
  let left = new Map(family)
  left.delete(of)
  if (propagation === 'Orphan')
    return new Map([...left].map(([i, its]) => [i, its.filter(each => each !== of)]))
  for (let size = -1; size !== left.size; ) {
    size = left.size
    left = new Map([...left].filter(([, its]) => its.length === 0 || its.some(each => left.has(each))))
  }
  return new Map([...left].map(([i, its]) => [i, its.filter(each => left.has(each))]))
}

/** The store's rules and the collector's, without store and loop. */
class World {
  readonly #objects = new Map<number, Resource>()
  readonly #graph = new OwnershipGraph()
  readonly #chances: readonly number[]
  #turn = 0
  /** Changes that the collector has not heard of yet. */
  readonly #news: (() => void)[] = []

  constructor(owners: Case['owners'], chances: readonly number[]) {
    this.#chances = chances
    owners.forEach((its, i) => this.#put(i, objectOf(i, its)))
    this.#hear(Number.POSITIVE_INFINITY)
  }

  remove(i: number, propagation?: Propagation): void {
    const object = this.#objects.get(i)
    if (object !== undefined) this.#apply(i, forRemove(object, 0, propagation))
  }

  left(): number[] {
    return [...this.#objects.keys()]
  }

  references(): Family {
    const of = (object: Resource) =>
      (object.metadata.ownerReferences ?? []).map(({ name }) => Number(name.slice(1)))
    return new Map([...this.#objects].map(([i, object]) => [i, of(object)]))
  }

  /** Attempts in any order, until nobody has anything to do and everything has been heard. */
  async settle(): Promise<void> {
    for (let steps = 0; steps < 2_000; steps++) {
      this.#hear(this.#chance(3))
      const all = [...this.#objects.keys()]
      const start = this.#chance(all.length)
      let done = false
      for (let n = 0; n < all.length && !done; n++) done = await this.#attempt(all[(start + n) % all.length]!)
      if (!done && this.#news.length === 0) return
      if (!done) this.#hear(1)
    }
    throw new Error('it does not come to an end')
  }

  async #attempt(i: number): Promise<boolean> {
    const item = this.#objects.get(i)
    if (item === undefined) return false
    const node = nodeOf(item)
    const find = async ({ name }: Key) => this.#objects.get(Number(name.slice(1)))
    const step = plan(node, this.#graph, node.isDeleting ? () => 'there' : await ownerStates(item, find))
    return this.#act(step, i, item)
  }

  #act(step: Step, i: number, item: Resource): boolean {
    if (step.do === 'nothing' || step.do === 'look-at') return false
    if (step.do === 'remove') this.remove(i, step.propagation)
    else if (step.do === 'drop-references') this.#dropReferences(i, step.uids)
    else {
      if (step.do === 'orphan-dependents')
        for (const [j, each] of this.#objects)
          if (referenceTo(nodeOf(item), nodeOf(each)) !== undefined)
            this.#dropReferences(j, [item.metadata.uid])
      const dropped = step.do === 'orphan-dependents' ? 'orphan' : step.finalizer
      const latest = this.#objects.get(i)!
      const finalizers = (latest.metadata.finalizers ?? []).filter(each => each !== dropped)
      this.#apply(i, forUpdate(latest, { ...latest, metadata: { ...latest.metadata, finalizers } }, 'main'))
    }
    return true
  }

  #dropReferences(i: number, uids: readonly string[]): void {
    const object = this.#objects.get(i)!
    const ownerReferences = (object.metadata.ownerReferences ?? []).filter(({ uid }) => !uids.includes(uid))
    this.#apply(
      i,
      forUpdate(object, { ...object, metadata: { ...object.metadata, ownerReferences } }, 'main'),
    )
  }

  #apply(i: number, { effect, next }: Write<Kind>): void {
    if (effect === 'put') this.#put(i, next)
    if (effect !== 'remove') return
    this.#objects.delete(i)
    this.#news.push(() => this.#graph.remove(next.metadata.uid))
  }

  #put(i: number, object: Resource): void {
    this.#objects.set(i, object)
    this.#news.push(() => this.#graph.put(nodeOf(object)))
  }

  #hear(count: number): void {
    for (const news of this.#news.splice(0, count)) news()
  }

  #chance(below: number): number {
    return this.#chances[this.#turn++ % this.#chances.length]! % below
  }
}

function objectOf(i: number, owners: Case['owners'][number]): Resource {
  const reference = ({ of, blocks }: { of: number; blocks: boolean }): OwnerReference => ({
    ...{ apiVersion: 'bothy.dev/v1alpha1', kind: 'Environment', name: `e${of}`, uid: `uid-${of}` },
    ...(blocks ? { blockOwnerDeletion: true } : {}),
  })
  return {
    apiVersion: 'bothy.dev/v1alpha1',
    kind: 'Environment',
    metadata: {
      ...{ name: `e${i}`, namespace: 'default', uid: `uid-${i}`, resourceVersion: '1', generation: 1 },
      creationTimestamp: '2030-01-01T00:00:00Z',
      ...(owners.length === 0 ? {} : { ownerReferences: owners.map(reference) }),
    },
    spec: { desired: 'Running', class: 'small', content: { empty: {} }, env: {} },
    status: { phase: 'Pending', observedGeneration: 0, epoch: 0, conditions: [], stages: [] },
  }
}
