import type { OnStage, Stage } from '../../core/driver.ts'
import type { Clock } from '../../lib/clock.ts'
import type { OnStep } from './keeper.ts'

/** Turns the ends of a keeper's steps into stages: each stage runs from the end of the one before to its last step. */
export function stageClock(
  clock: Clock,
  lastSteps: Readonly<Record<string, Stage>>,
  onStage: OnStage,
): OnStep {
  let started = clock.now()
  return step => {
    const stage = lastSteps[step]
    if (stage === undefined) return
    const now = clock.now()
    onStage(stage, started, now)
    started = now
  }
}
