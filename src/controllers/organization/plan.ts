// What goes with an organization, and in which order: environments first, because taking them down needs their runner;
// then everything else; at last the reports of how it went.
import type { Condition } from '../../api/conditions.ts'
import { namesOf, qualifiedName } from '../../api/kinds/kind-names.ts'
import { KINDS } from '../../api/kinds/registry.ts'
import type { Kind, Resource } from '../../api/resource.ts'

export type Contents = ReadonlyMap<Kind, readonly Resource[]>
type Verdict = Omit<Condition, 'lastTransitionTime'>

export interface Plan {
  /** To be asked to go now. */
  readonly remove: readonly Resource[]
  /** Why it is still there, for people. */
  readonly verdicts: readonly Verdict[]
  readonly isEmpty: boolean
}

/** Kinds whose objects are in organizations. */
export const CONTENT_KINDS = (Object.keys(KINDS) as Kind[]).filter(kind => KINDS[kind].namespaced)

const FIRST: readonly Kind[] = ['Environment']
const LAST: readonly Kind[] = ['Event']
const STAGES = [FIRST, CONTENT_KINDS.filter(kind => !FIRST.includes(kind) && !LAST.includes(kind)), LAST]

/** Conditions in Kubernetes' words; for a Namespace, its `Namespace` stands before the type. */
export const CONTENT_REMAINING = 'ContentRemaining'
export const FINALIZERS_REMAINING = 'FinalizersRemaining'

export function planDeletion(contents: Contents): Plan {
  const ofStage = (stage: readonly Kind[]) => stage.flatMap(kind => contents.get(kind) ?? [])
  const next = STAGES.map(ofStage).find(objects => objects.length > 0) ?? []
  const remove = next.filter(({ metadata }) => metadata.deletionTimestamp === undefined)
  return {
    remove,
    verdicts: [contentVerdict(contents), finalizerVerdict(contents)],
    isEmpty: next.length === 0,
  }
}

function contentVerdict(contents: Contents): Verdict {
  const counts = CONTENT_KINDS.map(
    kind => [qualifiedName(namesOf(kind)), contents.get(kind)?.length ?? 0] as const,
  )
  const left = counts
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${name} has ${instances(count)}`)
  return left.length === 0
    ? verdict(CONTENT_REMAINING, 'False', 'ContentRemoved', 'All content has been removed')
    : verdict(
        CONTENT_REMAINING,
        'True',
        'SomeResourcesRemain',
        `Some resources are remaining: ${left.join(', ')}`,
      )
}

function finalizerVerdict(contents: Contents): Verdict {
  const counts = new Map<string, number>()
  for (const { metadata } of [...contents.values()].flat())
    for (const each of metadata.deletionTimestamp === undefined ? [] : (metadata.finalizers ?? []))
      counts.set(each, (counts.get(each) ?? 0) + 1)
  if (counts.size === 0)
    return verdict(FINALIZERS_REMAINING, 'False', 'ContentHasNoFinalizers', 'Nothing holds its content')
  const left = [...counts].map(([name, count]) => `${name} in ${instances(count)}`)
  const message = `Some content in the namespace has finalizers remaining: ${left.join(', ')}`
  const hint =
    'environments go when their runner has taken them down; if a runner will not come back, delete its Runner'
  return { ...verdict(FINALIZERS_REMAINING, 'True', 'SomeFinalizersRemain', message), hint }
}

function instances(count: number): string {
  return `${count} resource ${count === 1 ? 'instance' : 'instances'}`
}

function verdict(type: string, status: 'True' | 'False', reason: string, message: string): Verdict {
  return { type, status, reason, message }
}
