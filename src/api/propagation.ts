// What becomes of an object's dependents when it is deleted. The request for deletion leaves its answer on the object,
// as one of two finalizers or none; the garbage collector does the rest.

/**
 * `Background`: they go after it. `Foreground`: it goes after those of them that block its deletion. `Orphan`: they stay,
 * and are nobody's.
 */
export const PROPAGATIONS = ['Foreground', 'Background', 'Orphan'] as const
export type Propagation = (typeof PROPAGATIONS)[number]

/** Names as Kubernetes has them. */
export const FOREGROUND_FINALIZER = 'foregroundDeletion'
export const ORPHAN_FINALIZER = 'orphan'

const FINALIZERS: Readonly<Record<Propagation, readonly string[]>> = {
  Background: [],
  Foreground: [FOREGROUND_FINALIZER],
  Orphan: [ORPHAN_FINALIZER],
}

/** Whether it is the garbage collector that adds and removes it. */
export function isCollectors(finalizer: string): boolean {
  return finalizer === FOREGROUND_FINALIZER || finalizer === ORPHAN_FINALIZER
}

/** An object's finalizers once its deletion is asked for. Without a propagation, what it has says what it wants. */
export function finalizersFor(
  finalizers: readonly string[],
  propagation: Propagation | undefined,
): readonly string[] {
  if (propagation === undefined) return finalizers
  return [...finalizers.filter(each => !isCollectors(each)), ...FINALIZERS[propagation]]
}
