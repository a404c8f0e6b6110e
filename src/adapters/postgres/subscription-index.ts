// Who is to hear of a change, found without asking everybody: hundreds of runners watch for their own objects only, and
// most changes concern one of them.
import type { Fault } from '../../lib/fault.ts'
import type { FeedEntry } from './rows.ts'
import { fieldText } from './selection.ts'
import type { Subscription } from './subscription.ts'

interface OfKind {
  /** Those that select no field. */
  readonly all: Set<Subscription>
  /** By the first field that they select, then by its value. */
  readonly byField: Map<string, Map<string, Set<Subscription>>>
}

export class SubscriptionIndex {
  readonly #byKind = new Map<string, OfKind>()
  #size = 0

  get size(): number {
    return this.#size
  }

  add(subscription: Subscription): void {
    const set = this.#setOf(subscription)
    if (set.has(subscription)) return
    set.add(subscription)
    this.#size++
  }

  delete(subscription: Subscription): void {
    const set = this.#setOf(subscription)
    if (set.delete(subscription)) this.#size--
    const field = firstField(subscription)
    if (set.size > 0 || field === undefined) return
    const byField = this.#byKind.get(subscription.kind)?.byField
    const byValue = byField?.get(field[0])
    byValue?.delete(field[1])
    if (byValue?.size === 0) byField?.delete(field[0])
  }

  /** Hands `entry` to all whom it may concern: before the change or after it. */
  push(entry: FeedEntry): void {
    const ofKind = this.#byKind.get(entry.kind)
    if (ofKind === undefined) return
    for (const subscription of ofKind.all) subscription.push(entry)
    for (const [field, byValue] of ofKind.byField) {
      const after = fieldText(entry.object, field)
      for (const subscription of byValue.get(after) ?? []) subscription.push(entry)
      if (entry.previous === undefined) continue
      const before = fieldText(entry.previous, field)
      if (before !== after) for (const subscription of byValue.get(before) ?? []) subscription.push(entry)
    }
  }

  failAll(fault: Fault): void {
    for (const { all, byField } of this.#byKind.values()) {
      for (const subscription of all) subscription.fail(fault)
      for (const byValue of byField.values())
        for (const set of byValue.values()) for (const subscription of set) subscription.fail(fault)
    }
  }

  #setOf(subscription: Subscription): Set<Subscription> {
    const { all, byField } = getOrMake(this.#byKind, subscription.kind, () => ({
      all: new Set<Subscription>(),
      byField: new Map<string, Map<string, Set<Subscription>>>(),
    }))
    const field = firstField(subscription)
    if (field === undefined) return all
    const byValue = getOrMake(byField, field[0], () => new Map<string, Set<Subscription>>())
    return getOrMake(byValue, field[1], () => new Set<Subscription>())
  }
}

function firstField({ options }: Subscription): [field: string, value: string] | undefined {
  return Object.entries(options.fields ?? {})[0]
}

function getOrMake<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}
