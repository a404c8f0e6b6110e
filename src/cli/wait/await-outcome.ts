import type { Key, Resource } from '../../api/resource.ts'
import { Fault, isFault } from '../../lib/fault.ts'
import type { Deps, Session } from '../deps.ts'
import { escapeControls } from '../output/text.ts'
import { freshStages, openDisplay, type Progress } from './display.ts'
import { follow } from './follow.ts'
import { type Attempted, outcome, type Wanted } from './outcome.ts'

export interface AwaitOptions {
  readonly session: Session
  readonly deps: Pick<Deps, 'clock' | 'signal' | 'stderr' | 'env'>
  readonly key: Key<'Environment'>
  readonly wanted: Wanted
  readonly attempted: Attempted
  /** The state that the request was answered with: changes after it are followed, so that none is missed. */
  readonly known?: Resource<'Environment'>
  /** Called with each state; what it throws ends the wait. May return what to show instead of the progress. */
  readonly onState?: (environment: Resource<'Environment'>) => Progress | undefined
  /** Ends the wait although the outcome is still to come. */
  readonly isEnough?: () => boolean
  /** Said in the hint when the wait is interrupted: what is left, and how to go on. */
  readonly interrupted: () => string
  /** Ends the wait early, with the reason as its fault. */
  readonly signal?: AbortSignal
}

/**
 * Waits until the environment is as wanted and returns its last state (undefined when it is gone), showing progress on
 * standard error. Throws the fault of a failure; on interruption `cancelled`, and the environment is left as it is.
 */
export async function awaitOutcome(options: AwaitOptions): Promise<Resource<'Environment'> | undefined> {
  const { session, deps, key, wanted, attempted, known, onState, isEnough } = options
  const signal = options.signal ?? deps.signal
  const display = openDisplay(deps)
  const judge = (environment: Resource<'Environment'> | undefined): boolean => {
    const instead = environment === undefined ? undefined : onState?.(environment)
    const verdict = outcome(environment, wanted, attempted)
    const progress = verdict.kind === 'going' ? (instead ?? verdict.progress) : ''
    // What was so already when it was asked for has no stages to show: those in its status are of an earlier start.
    const isNews = environment !== undefined && !(environment === known && verdict.kind === 'done')
    display.show(isNews && wanted === 'Running' ? freshStages(environment) : [], progress)
    if (verdict.kind === 'failed') throw verdict.fault
    return verdict.kind === 'done' || isEnough?.() === true
  }
  try {
    if (known !== undefined && judge(known)) return known
    const onTrouble = (fault: Fault) =>
      display.note(`the server does not answer (${escapeControls(fault.message)}); trying again`)
    for await (const environment of follow(
      session.store,
      key,
      { clock: deps.clock, signal, onTrouble },
      known,
    )) {
      if (judge(environment)) return environment
    }
  } catch (error) {
    if (signal.aborted && isFault(signal.reason)) throw signal.reason
    if (signal.aborted || (isFault(error) && error.reason === 'cancelled')) throw interruption(options, error)
    throw error
  } finally {
    display.close()
  }
  throw new Fault('internal', 'wait-ended', `wait for environment ${key.name}: the watch ended early`)
}

function interruption({ key, interrupted }: AwaitOptions, cause: unknown): Fault {
  return new Fault('cancelled', 'wait-interrupted', `wait for environment ${key.name}: interrupted`, {
    cause,
    hint: interrupted(),
  })
}
