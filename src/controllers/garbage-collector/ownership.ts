// Who belongs to whom, as far as the collector's copies know.
import { apiVersionOf, KIND_NAMES, namesOf } from '../../api/kinds/kind-names.ts'
import { FOREGROUND_FINALIZER, isCollectors } from '../../api/propagation.ts'
import {
  describeKey,
  type Key,
  type Kind,
  keyOf,
  type OwnerReference,
  type Resource,
} from '../../api/resource.ts'

/** Kinds that own and are owned. Events age instead, and there are many. */
export const COLLECTED: readonly Kind[] = (Object.keys(KIND_NAMES) as Kind[]).filter(kind => kind !== 'Event')

/** What matters of an object here. */
export interface Node {
  readonly key: Key
  readonly uid: string
  readonly owners: readonly OwnerReference[]
  readonly isDeleting: boolean
  readonly finalizers: readonly string[]
}

export function nodeOf(object: Resource): Node {
  const { uid, ownerReferences = [], deletionTimestamp, finalizers = [] } = object.metadata
  const isDeleting = deletionTimestamp !== undefined
  return { key: keyOf(object), uid, owners: ownerReferences, isDeleting, finalizers }
}

/** It is to go after those of its dependents that block its deletion. */
export function isDeletingDependents({ isDeleting, finalizers }: Node): boolean {
  return isDeleting && finalizers.includes(FOREGROUND_FINALIZER)
}

/** The collector has something to do with it besides looking after its owners. */
export function awaitsCollector({ isDeleting, finalizers }: Node): boolean {
  return isDeleting && finalizers.some(isCollectors)
}

/**
 * Where the owner must be that `reference`, on an object in `namespace`, names: in the same namespace, or cluster-wide.
 * Undefined: of a kind that is not ours, or where no owner can be; such references are left alone.
 */
export function ownerKey(reference: OwnerReference, namespace: string): Key | undefined {
  const kind = COLLECTED.find(each => each === reference.kind)
  if (kind === undefined || reference.apiVersion !== apiVersionOf(namesOf(kind))) return undefined
  if (!namesOf(kind).namespaced) return { kind, namespace: '', name: reference.name }
  return namespace === '' ? undefined : { kind, namespace, name: reference.name }
}

/** The reference by which `dependent` belongs to the owner. The uid alone does not count: it must be where it is said. */
export function referenceTo(
  owner: Pick<Node, 'key' | 'uid'>,
  dependent: Pick<Node, 'key' | 'owners'>,
): OwnerReference | undefined {
  return dependent.owners.find(reference => {
    if (reference.uid !== owner.uid) return false
    const said = ownerKey(reference, dependent.key.namespace)
    return said !== undefined && describeKey(said) === describeKey(owner.key)
  })
}

/** All known objects by uid, and their dependents. */
export class OwnershipGraph {
  readonly #nodes = new Map<string, Node>()
  /** Objects that name the uid as an owner, rightly or not; by uid. */
  readonly #naming = new Map<string, Map<string, Node>>()

  put(node: Node): void {
    this.remove(node.uid)
    this.#nodes.set(node.uid, node)
    for (const { uid } of node.owners) {
      const naming = this.#naming.get(uid) ?? new Map<string, Node>()
      this.#naming.set(uid, naming.set(node.uid, node))
    }
  }

  remove(uid: string): void {
    for (const owner of this.#nodes.get(uid)?.owners ?? []) {
      const naming = this.#naming.get(owner.uid)
      naming?.delete(uid)
      if (naming?.size === 0) this.#naming.delete(owner.uid)
    }
    this.#nodes.delete(uid)
  }

  get(uid: string): Node | undefined {
    return this.#nodes.get(uid)
  }

  /** Everything that names the uid; some of it may be mistaken about who has it. */
  naming(uid: string): readonly Node[] {
    return [...(this.#naming.get(uid)?.values() ?? [])]
  }

  dependents(owner: Pick<Node, 'key' | 'uid'>): readonly Node[] {
    return this.naming(owner.uid).filter(each => referenceTo(owner, each) !== undefined)
  }

  /** Those without whose end the owner's deletion does not go on. */
  blocking(owner: Pick<Node, 'key' | 'uid'>): readonly Node[] {
    return this.naming(owner.uid).filter(each => referenceTo(owner, each)?.blockOwnerDeletion === true)
  }

  /**
   * Whether `waiting`'s own deletion waits, over any number of others that wait, for that of `object`. If `object` waits
   * for it in turn, that is a circle, which nobody would ever leave.
   */
  waitsFor(waiting: Node, object: Pick<Node, 'key' | 'uid'>): boolean {
    const seen = new Set<string>()
    const next = [waiting]
    for (let node = next.pop(); node !== undefined; node = next.pop()) {
      if (node.uid === object.uid) return true
      if (seen.has(node.uid) || !isDeletingDependents(node)) continue
      seen.add(node.uid)
      next.push(...this.blocking(node))
    }
    return false
  }
}
