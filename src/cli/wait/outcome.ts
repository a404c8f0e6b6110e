// Has what was asked of an Environment happened? Decided from one state of the object, nothing remembered.
import { type Condition, findCondition, isTrue } from '../../api/conditions.ts'
import type { Resource } from '../../api/resource.ts'
import { Fault } from '../../lib/fault.ts'
import { faultOf } from './verdict.ts'

export type Wanted = 'Running' | 'Stopped' | 'Deleted'

export type EnvironmentOutcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly fault: Fault }
  /** `progress` is what it is doing now, for people. */
  | { readonly kind: 'going'; readonly progress: string }

const DONE: EnvironmentOutcome = { kind: 'done' }
const going = (progress: string): EnvironmentOutcome => ({ kind: 'going', progress })

/** What was asked for, as messages say it. */
export type Attempted = 'create' | 'start' | 'stop' | 'delete'

/** `environment` is undefined when it is gone. */
export function outcome(
  environment: Resource<'Environment'> | undefined,
  wanted: Wanted,
  attempted: Attempted = wanted === 'Running' ? 'start' : 'stop',
): EnvironmentOutcome {
  if (environment === undefined) return wanted === 'Deleted' ? DONE : vanished()
  if (wanted === 'Deleted') return going(deleting(environment))
  if (environment.metadata.deletionTimestamp !== undefined) return vanished()
  const { metadata, spec, status } = environment
  // Somebody else asked for the opposite meanwhile; waiting on would be waiting for ever.
  if (spec.desired !== wanted) return overruled(environment)
  const isUnschedulable = findCondition(status.conditions, 'Scheduled')?.reason
  if (isUnschedulable !== undefined && HOPELESS.has(isUnschedulable)) {
    return { kind: 'failed', fault: faultOf(environment, attempted) }
  }
  // What the status says of an earlier spec says nothing of this one.
  if (status.observedGeneration < metadata.generation) return going(current(environment))
  if (status.phase === 'Failed') return { kind: 'failed', fault: faultOf(environment, attempted) }
  if (wanted === 'Running' && status.phase === 'Running' && isTrue(status.conditions, 'Ready')) return DONE
  if (wanted === 'Stopped' && status.phase === 'Stopped') return DONE
  return going(current(environment))
}

// What a runner removes when sandbox and disk are gone.
const RUNNER_FINALIZER = 'bothy.dev/runner'

// Of the condition Scheduled: waiting does not help, somebody has to change something.
export const HOPELESS: ReadonlySet<string> = new Set([
  ...['ClassNotFound', 'RunnerNotFound'],
  ...['SourceNotFound', 'SourceForbidden', 'SourceFailed', 'SourceElsewhere'],
])

/** Does the environment wait for the client to send its files? */
export function awaitsUpload({ spec, status, metadata }: Resource<'Environment'>): boolean {
  const condition = findCondition(status.conditions, 'ContentReady')
  return (
    spec.content.upload !== undefined &&
    metadata.deletionTimestamp === undefined &&
    condition?.status !== 'True' &&
    condition?.reason === 'AwaitingUpload'
  )
}

function vanished(): EnvironmentOutcome {
  const hint = 'somebody deleted it meanwhile'
  return {
    kind: 'failed',
    fault: new Fault('not_found', 'environment-deleted', 'wait: the environment is gone', { hint }),
  }
}

function overruled({ metadata, spec }: Resource<'Environment'>): EnvironmentOutcome {
  const message = `wait for environment ${metadata.name}: somebody has asked for ${spec.desired} meanwhile`
  return { kind: 'failed', fault: new Fault('conflict', 'environment-overruled', message) }
}

/** For people: who has still to let go of an object. */
export function deleting({ metadata, spec }: Resource): string {
  const finalizers = metadata.finalizers ?? []
  if (finalizers.length === 0) return 'being deleted'
  // The runner's own, nearly always.
  const isRunners = finalizers.every(each => each === RUNNER_FINALIZER)
  const runner = isRunners && 'runner' in spec ? spec.runner : undefined
  return `being deleted; waiting for ${runner === undefined ? finalizers.join(', ') : `runner ${runner}`}`
}

/** What it does at the moment: the stage under way, else what the conditions say, else its phase. */
function current({ metadata, spec, status }: Resource<'Environment'>): string {
  const blocking = status.conditions.find(isBlocking)
  if (blocking !== undefined) {
    const hint = blocking.hint === undefined ? '' : ` (${blocking.hint})`
    return `${blocking.message}${hint}`
  }
  if (spec.runner === undefined) return 'waiting for a place'
  if (status.observedGeneration < metadata.generation) return `waiting for runner ${spec.runner}`
  const stage = status.stages.findLast(each => each.ended === undefined)
  if (stage !== undefined) return stage.message === undefined ? stage.name : `${stage.name}: ${stage.message}`
  const ready = findCondition(status.conditions, 'Ready')
  return ready === undefined || ready.message === '' ? status.phase : ready.message
}

/** Somebody has to do something before anything goes on. */
function isBlocking({ type, status }: Condition): boolean {
  return status === 'False' && (type === 'Scheduled' || type === 'RunnerReachable')
}
