// What a runner does about one snapshot, decided from data alone.
//
//   Pending --> Creating --> Ready --> Deleting
//                   +--> Failed
//
//   P1. The host is the truth: a snapshot is there when its disk is, which appears all at once.
//   P2. It is taken once. What is kept is never taken again, whatever status says.
//   P3. A snapshot that was Ready and is not there any more is lost; another one taken now would be of another moment.
import { RUNNER_FINALIZER } from '../../api/ownership.ts'
import type { Resource } from '../../api/resource.ts'

export type Step =
  | { readonly kind: 'nothing'; readonly why: string }
  | { readonly kind: 'take' }
  | { readonly kind: 'report-ready' }
  | { readonly kind: 'report-lost' }
  | { readonly kind: 'destroy' }

export function plan(
  { metadata, status }: Resource<'Snapshot'>,
  host: { /** Its disk is here, whole. */ readonly isKept: boolean },
): Step {
  const isObserved = status.observedGeneration === metadata.generation
  if (metadata.deletionTimestamp !== undefined) {
    const isOurs = metadata.finalizers?.includes(RUNNER_FINALIZER) === true
    return isOurs
      ? { kind: 'destroy' }
      : { kind: 'nothing', why: 'it is removed here; others are not done yet' }
  }
  if (host.isKept)
    return status.phase === 'Ready' && isObserved
      ? { kind: 'nothing', why: 'it is kept' }
      : { kind: 'report-ready' }
  if (status.phase === 'Ready') return { kind: 'report-lost' } // P3
  if (status.phase === 'Failed' && isObserved)
    return { kind: 'nothing', why: 'it failed, and waits for somebody to delete it' }
  return { kind: 'take' }
}
