import { z } from 'zod'

/** Kubernetes' `metav1.Condition`, plus a hint: what the reader can do about it. */
export const conditionSchema = z.strictObject({
  type: z.string().describe('What is judged, in CamelCase.'),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string().describe('Why, in CamelCase, for programs.'),
  message: z.string().describe('Why, in a sentence, for people.'),
  hint: z.string().optional().describe('What can be done about it.'),
  fault: z
    .string()
    .optional()
    .describe(
      'The closed reason of the fault behind it (`not_found`, `unavailable` …): what exit codes follow from.',
    ),
  lastTransitionTime: z.string(),
  observedGeneration: z.int().optional(),
})

export type Condition = z.infer<typeof conditionSchema>

/** A status's conditions: one of each type, so that each can be applied by whoever judges it. */
export const conditionsSchema = z
  .array(conditionSchema)
  .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] })

export function findCondition(conditions: readonly Condition[], type: string): Condition | undefined {
  return conditions.find(condition => condition.type === type)
}

export function isTrue(conditions: readonly Condition[], type: string): boolean {
  return findCondition(conditions, type)?.status === 'True'
}

/**
 * The list with `next` in place of the condition of its type. `lastTransitionTime` moves only when the status does, so
 * that writing the same verdict twice changes nothing.
 */
export function setCondition(
  conditions: readonly Condition[],
  next: Omit<Condition, 'lastTransitionTime'>,
  now: string,
): Condition[] {
  const before = findCondition(conditions, next.type)
  const lastTransitionTime = before?.status === next.status ? before.lastTransitionTime : now
  const condition: Condition = { ...next, lastTransitionTime }
  return before === undefined
    ? [...conditions, condition]
    : conditions.map(each => (each.type === next.type ? condition : each))
}
