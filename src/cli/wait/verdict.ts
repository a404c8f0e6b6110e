// From a condition of an Environment to the fault that the command line ends with.
import type { Condition } from '../../api/conditions.ts'
import type { Resource } from '../../api/resource.ts'
import { describeKey, keyOf } from '../../api/resource.ts'
import { Fault, REASONS, type Reason } from '../../lib/fault.ts'

// Conditions that no fault stands behind have reasons of their own (`ClassNotFound`, `RunnerUnreachable`). They are
// open, so the last resort goes by the word they end in.
const ENDINGS: readonly (readonly [RegExp, Reason])[] = [
  [/not_found$|unknown$|missing$|gone$/, 'not_found'],
  [/private$|denied$|not_allowed$|forbidden$|refused$/, 'forbidden'],
  [/unauthorized$|unauthenticated$/, 'unauthenticated'],
  [/unsupported$|not_supported$/, 'unsupported'],
  [/no_space$|full$|exhausted$|no_room$|too_many$|out_of_memory$/, 'exhausted'],
  [/unreachable$|unavailable$|lost$|not_ready$|not_resolved$|broken$/, 'unavailable'],
  [/stalled$|timeout$|timed_out$/, 'timeout'],
  [/invalid$|malformed$/, 'invalid'],
]

/** The closed reason, and with it the exit code, that a condition stands for. */
export function reasonOf(condition: Pick<Condition, 'reason' | 'fault'>): Reason {
  if (condition.fault !== undefined && Object.hasOwn(REASONS, condition.fault))
    return condition.fault as Reason
  const word = snakeCase(condition.reason)
  if (Object.hasOwn(REASONS, word)) return word as Reason
  return ENDINGS.find(([pattern]) => pattern.test(word))?.[1] ?? 'internal'
}

function snakeCase(camel: string): string {
  return camel.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase()
}

/**
 * The condition that says best why it is not ready: the one about a part (image, content, place) that has Ready's own
 * reason, else Ready itself. Others that are False may stem from an earlier attempt.
 */
export function failingCondition(conditions: readonly Condition[]): Condition | undefined {
  const failing = conditions.filter(condition => condition.status === 'False')
  const ready = failing.find(condition => condition.type === 'Ready')
  const part = failing.find(
    ({ type, reason }) => type !== 'Ready' && (ready === undefined || reason === ready.reason),
  )
  return part ?? ready
}

export function faultOf(subject: Resource<'Environment' | 'Snapshot'>, attempted: string): Fault {
  const key = keyOf(subject)
  const condition = failingCondition(subject.status.conditions)
  const kind = key.kind.toLowerCase()
  const explain = `bothy explain ${kind}/${key.name}`
  if (condition === undefined) {
    const message = `${attempted} ${describeKey(key)}: it failed and gave no reason`
    return new Fault('internal', `${kind}-failed`, message, { hint: explain })
  }
  const hint = condition.hint === undefined ? explain : `${condition.hint}\n  more: ${explain}`
  const message = `${attempted} ${describeKey(key)}: ${condition.reason}: ${condition.message}`
  return new Fault(reasonOf(condition), `${kind}-failed`, message, { hint })
}
