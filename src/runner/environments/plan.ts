// What a runner does about one environment, decided from data alone.
//
//   Pending --> Creating (image, disk, content) --> Starting --> Running --> Stopping --> Stopped
//                   |                                  ^            |                        |
//                   +--> Failed                        +------------+------------------------+
//
//   P1. The host is the truth: what status says is compared with what is there, never believed.
//   P2. Every start has an epoch of its own, written to status before the sandbox exists; no epoch starts twice.
//   P3. Content is made once. What people have on their disk is never made again.
//   P4. A verdict about one generation holds for that generation: Failed stays until somebody changes the spec.
//   P5. Steps may repeat: the driver's operations are idempotent, so nobody remembers whether the last one got through.
import type { Resource } from '../../api/resource.ts'
import type { Millis } from '../../lib/clock.ts'

/** A runner's claim on an Environment; on it since it was bound. */
export const RUNNER_FINALIZER = 'bothy.dev/runner'

/** What is found on the host, and what this runner remembers since it was started. */
export interface Host {
  /** Of the sandbox that runs; undefined: none does. */
  readonly sandboxEpoch: number | undefined
  readonly contentDone: boolean
  /** The client's upload has arrived. */
  readonly uploaded: boolean
  /** Not before this time, because it went wrong before; of generation `generation`. */
  readonly pause?: { readonly untilMs: Millis; readonly generation: number; readonly why: string }
  readonly nowMs: Millis
}

export type Step =
  | { readonly kind: 'nothing'; readonly why: string }
  | { readonly kind: 'wait'; readonly forMs: Millis; readonly why: string }
  | { readonly kind: 'destroy' }
  | { readonly kind: 'stop' }
  | { readonly kind: 'report-stopped' }
  /** It runs already; say so. */
  | { readonly kind: 'report-running' }
  /** It ended by itself and is to be started again, but not at once; say so. */
  | { readonly kind: 'report-ended'; readonly forMs: Millis }
  | { readonly kind: 'await-upload' }
  /** `ended`: it ran, and ended by itself. */
  | { readonly kind: 'start'; readonly epoch: number; readonly ended: boolean }

export function plan(environment: Resource<'Environment'>, host: Host): Step {
  const { metadata, spec, status } = environment
  const { generation } = metadata
  const observed = status.observedGeneration === generation
  if (metadata.deletionTimestamp !== undefined) {
    const ours = metadata.finalizers?.includes(RUNNER_FINALIZER) === true
    return ours
      ? { kind: 'destroy' }
      : { kind: 'nothing', why: 'it is cleaned up here; others are not done yet' }
  }
  if (spec.desired === 'Stopped') {
    if (host.sandboxEpoch !== undefined) return { kind: 'stop' }
    return status.phase === 'Stopped' && observed
      ? { kind: 'nothing', why: 'it is stopped, as asked' }
      : { kind: 'report-stopped' }
  }
  if (host.sandboxEpoch !== undefined && host.sandboxEpoch === status.epoch) {
    return status.phase === 'Running' && observed
      ? { kind: 'nothing', why: 'it runs, as asked' }
      : { kind: 'report-running' }
  }
  if (status.phase === 'Failed' && observed) {
    return { kind: 'nothing', why: 'it failed, and waits for somebody to change, restart or delete it' } // P4
  }
  const { pause } = host
  if (pause !== undefined && pause.generation === generation && pause.untilMs > host.nowMs) {
    const forMs = pause.untilMs - host.nowMs
    return status.phase === 'Running'
      ? { kind: 'report-ended', forMs }
      : { kind: 'wait', forMs, why: pause.why }
  }
  if (spec.content.upload !== undefined && !host.contentDone && !host.uploaded)
    return { kind: 'await-upload' }
  // A sandbox of any other epoch is somebody's leftover: the driver replaces it. P2
  const epoch = Math.max(status.epoch, host.sandboxEpoch ?? 0) + 1
  return { kind: 'start', epoch, ended: status.phase === 'Running' }
}
