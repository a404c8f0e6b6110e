// From a condition of an Environment to the fault that the command line ends with.
import type { Condition } from '../../api/conditions.ts'
import type { Resource } from '../../api/resource.ts'
import { describeKey, keyOf } from '../../api/resource.ts'
import { Fault, REASONS, type Reason } from '../../lib/fault.ts'

// A condition's reason is the CamelCase of a fault's code (`RefNotFound`) or reason (`NotFound`). Codes are open, so
// the last resort goes by the word they end in.
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

/** The closed reason, and with it the exit code, that a condition's reason stands for. */
export function reasonOf(conditionReason: string): Reason {
  const word = snakeCase(conditionReason)
  if (Object.hasOwn(REASONS, word)) return word as Reason
  return ENDINGS.find(([pattern]) => pattern.test(word))?.[1] ?? 'internal'
}

function snakeCase(camel: string): string {
  return camel.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase()
}

/**
 * The condition that says best why an environment failed: the first that is False of those that come before Ready,
 * in the order in which the work is done, else Ready itself.
 */
export function failingCondition(conditions: readonly Condition[]): Condition | undefined {
  const order = ['Scheduled', 'ImageReady', 'ContentReady', 'DevcontainerReady', 'Ready']
  const rank = (condition: Condition) => {
    const place = order.indexOf(condition.type)
    return place === -1 ? order.length : place
  }
  return conditions
    .filter(condition => condition.status === 'False' && !PASSING.has(condition.reason))
    .toSorted((a, b) => rank(a) - rank(b))[0]
}

// Reasons of conditions that are False because their turn has not come.
const PASSING = new Set(['Pending', 'Waiting', 'AwaitingUpload', 'NotStarted', 'InProgress', 'Stopped'])

export function faultOf(environment: Resource<'Environment'>, attempted: string): Fault {
  const key = keyOf(environment)
  const condition = failingCondition(environment.status.conditions)
  const explain = `bothy explain environment/${key.name}`
  if (condition === undefined) {
    const message = `${attempted} ${describeKey(key)}: it failed and gave no reason`
    return new Fault('internal', 'environment-failed', message, { hint: explain })
  }
  const hint = condition.hint === undefined ? explain : `${condition.hint}\n  more: ${explain}`
  const message = `${attempted} ${describeKey(key)}: ${condition.reason}: ${condition.message}`
  return new Fault(reasonOf(condition.reason), 'environment-failed', message, { hint })
}
