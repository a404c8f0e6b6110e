// What `bothy explain` knows: what was asked, what is, why, and what happens next. Pure; `render.ts` draws it.
import type { Condition } from '../../api/conditions.ts'
import { isTrue } from '../../api/conditions.ts'
import { KINDS } from '../../api/kinds/registry.ts'
import { describeKey, keyOf, type Resource } from '../../api/resource.ts'
import type { Millis } from '../../lib/clock.ts'
import { readPath } from '../output/columns.ts'
import { stageTimes } from '../wait/stages.ts'
import { failingCondition } from '../wait/verdict.ts'
import { type ExplainedEvent, explainEvents } from './events.ts'

/** One thing that was asked for beside what there is of it. `is` is undefined where status says nothing of it. */
export interface Comparison {
  readonly field: string
  readonly asked: string
  readonly is: string | undefined
  readonly agrees: boolean | undefined
}

export interface ExplainedCondition extends Condition {
  readonly ageMs: Millis
}

export interface Explanation {
  readonly subject: string
  /** One sentence: how it stands. */
  readonly summary: string
  readonly asked: readonly Comparison[]
  readonly conditions: readonly ExplainedCondition[]
  readonly stages: readonly {
    readonly name: string
    readonly tookMs: Millis
    readonly running: boolean
    readonly message?: string
  }[]
  /** The latest, oldest first. */
  readonly events: readonly ExplainedEvent[]
  readonly deletion: { readonly sinceMs: Millis; readonly waitsFor: readonly string[] } | undefined
  /** What happens next by itself, and what a person can do, in sentences. */
  readonly next: readonly string[]
}

/** `events` are those about the object. */
export function explain(resource: Resource, events: readonly Resource<'Event'>[], now: Millis): Explanation {
  const conditions: readonly Condition[] = 'conditions' in resource.status ? resource.status.conditions : []
  const { deletionTimestamp, finalizers = [] } = resource.metadata
  return {
    subject: describeKey(keyOf(resource)),
    summary: summarize(resource),
    asked: compare(resource),
    conditions: conditions.map(each => ({ ...each, ageMs: now - Date.parse(each.lastTransitionTime) })),
    stages: 'stages' in resource.status ? stagesOf(resource.status.stages, now) : [],
    events: explainEvents(events, now),
    deletion:
      deletionTimestamp === undefined
        ? undefined
        : { sinceMs: now - Date.parse(deletionTimestamp), waitsFor: finalizers },
    next: nextSteps(resource),
  }
}

function stagesOf(stages: Resource<'Environment'>['status']['stages'], now: Millis): Explanation['stages'] {
  return stageTimes(stages).map(({ name, tookMs, startedMs, message }) => ({
    name,
    tookMs: tookMs ?? now - startedMs,
    running: tookMs === undefined,
    ...(message === undefined ? {} : { message }),
  }))
}

function isEnvironment(resource: Resource): resource is Resource<'Environment'> {
  return resource.kind === 'Environment'
}

function summarize(resource: Resource): string {
  if (resource.metadata.deletionTimestamp !== undefined) return 'It is being deleted.'
  if (!isEnvironment(resource)) {
    const ready = 'conditions' in resource.status ? isTrue(resource.status.conditions, 'Ready') : undefined
    if (ready === undefined) return KINDS[resource.kind].description
    return `${ready ? 'It is ready.' : 'It is not ready.'}${storageOf(resource)}`
  }
  const { spec, status, metadata } = resource
  if (status.observedGeneration < metadata.generation) {
    const where =
      spec.runner === undefined ? 'No runner has it yet.' : `Runner ${spec.runner} has not seen that yet.`
    return `It should be ${spec.desired} and is ${status.phase}. ${where}`
  }
  if (status.phase === spec.desired) return `It should be ${spec.desired} and is.`
  if (status.phase === 'Failed') return `It should be ${spec.desired} and has failed.`
  return `It should be ${spec.desired} and is ${status.phase}.`
}

/** What a runner has measured of itself. */
function storageOf(resource: Resource): string {
  const storage = resource.kind === 'Runner' ? (resource as Resource<'Runner'>).status.storage : undefined
  if (storage === undefined) return ''
  const { size, free, ...parts } = storage
  const sums = (['disks', 'snapshots', 'images'] as const).map(
    name => `${parts[name].count} ${name} take ${parts[name].size}`,
  )
  return ` Of ${size}, ${free} are free; ${sums.join(', ')}.`
}

// Fields of a spec whose counterpart in status is known; the others are shown as asked.
const COUNTERPARTS: Readonly<Record<string, string>> = {
  desired: '.status.phase',
  image: '.status.image.reference',
  content: '.status.git',
}

function compare(resource: Resource): Comparison[] {
  const counterparts = isEnvironment(resource) ? COUNTERPARTS : {}
  return Object.entries(resource.spec).flatMap(([field, value]) => {
    const asked = flat(value)
    if (asked === '') return []
    const path = counterparts[field]
    const found = path === undefined ? undefined : readPath(resource, path)
    const is = found === undefined ? undefined : flat(found)
    return [{ field, asked, is, agrees: field === 'desired' && is !== undefined ? is === asked : undefined }]
  })
}

/** `git.url=https://…, git.depth=1`; empty for what says nothing. */
function flat(value: unknown, prefix = ''): string {
  if (typeof value !== 'object' || value === null) {
    return prefix === '' ? String(value) : `${prefix}=${String(value)}`
  }
  const entries = Object.entries(value)
  if (entries.length === 0) return prefix
  return entries
    .map(([name, inner]) => flat(inner, prefix === '' ? name : `${prefix}.${name}`))
    .filter(text => text !== '')
    .join(', ')
}

function nextSteps(resource: Resource): string[] {
  const { metadata } = resource
  if (metadata.deletionTimestamp !== undefined) {
    const waitsFor = metadata.finalizers ?? []
    return waitsFor.length === 0
      ? ['It goes as soon as the server gets to it.']
      : [`It goes when its last finalizer is removed: ${waitsFor.join(', ')}.`, ...finalizerOwner(resource)]
  }
  return isEnvironment(resource) ? environmentSteps(resource) : []
}

function finalizerOwner(resource: Resource): string[] {
  if (!isEnvironment(resource) || resource.spec.runner === undefined) return []
  return [
    `Runner ${resource.spec.runner} removes its own when sandbox and disk are gone; see: bothy explain runner/${resource.spec.runner}`,
  ]
}

function environmentSteps({ metadata, spec, status }: Resource<'Environment'>): string[] {
  const failing = failingCondition(status.conditions)
  const hint = failing?.hint === undefined ? [] : [failing.hint]
  const unreachable = status.conditions.some(
    each => each.type === 'RunnerReachable' && each.status === 'False',
  )
  if (unreachable) {
    return [
      `Nothing is known of it until its runner answers again; see: bothy explain runner/${spec.runner}`,
      ...hint,
    ]
  }
  if (spec.runner === undefined) return ['The scheduler binds it to a runner as soon as one fits.', ...hint]
  if (status.observedGeneration < metadata.generation) {
    return [`Runner ${spec.runner} acts as soon as it sees the change.`]
  }
  if (status.phase === 'Failed') {
    return [
      ...hint,
      `Try again: bothy env stop ${metadata.name} && bothy env start ${metadata.name}`,
      `Give up: bothy env delete ${metadata.name}`,
    ]
  }
  if (status.phase === spec.desired) {
    const { lastKill } = status
    const killed =
      lastKill === undefined ? [] : [`At ${lastKill.at} it had no memory left: ${lastKill.reason}.`]
    return spec.desired === 'Running'
      ? [...killed, `Enter it: bothy shell ${metadata.name}`]
      : [`Start it again: bothy env start ${metadata.name}`]
  }
  return [
    `Runner ${spec.runner} is at work; follow it: bothy get environment ${metadata.name} --watch`,
    ...hint,
  ]
}
