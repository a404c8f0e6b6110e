// Which runner an environment goes to. An environment is bound once and for all: its disk lives there.
import { findCondition } from '../../api/conditions.ts'
import type { Resource } from '../../api/resource.ts'

export type Placement =
  | { readonly kind: 'bind'; readonly runner: string }
  /** Nowhere to go at present; said in condition Scheduled. */
  | { readonly kind: 'wait'; readonly reason: string; readonly message: string; readonly hint: string }
  | { readonly kind: 'nothing'; readonly why: string }

/** All of the environment's namespace. */
export interface Surroundings {
  readonly classes: readonly Resource<'EnvironmentClass'>[]
  readonly runners: readonly Resource<'Runner'>[]
  /** How many environments each runner has, by name. */
  readonly load: ReadonlyMap<string, number>
}

/** The reachable runner that the class permits and that has the fewest environments; of equals the first by name. */
export function plan(
  environment: Resource<'Environment'>,
  { classes, runners, load }: Surroundings,
): Placement {
  const { spec, metadata } = environment
  if (metadata.deletionTimestamp !== undefined) return { kind: 'nothing', why: 'it is being deleted' }
  if (spec.runner !== undefined) return { kind: 'nothing', why: `it is bound to runner ${spec.runner}` }

  const environmentClass = classes.find(each => each.metadata.name === spec.class)
  if (environmentClass === undefined) {
    const names = classes.map(each => each.metadata.name).sort()
    return {
      kind: 'wait',
      reason: 'ClassNotFound',
      message: `there is no EnvironmentClass '${spec.class}'`,
      hint:
        names.length === 0 ? 'create an EnvironmentClass' : `use one of: ${names.slice(0, 10).join(', ')}`,
    }
  }
  const wanted = environmentClass.spec.runner
  const permitted = runners.filter(each => wanted === undefined || each.metadata.name === wanted)
  if (permitted.length === 0) {
    return wanted === undefined
      ? {
          kind: 'wait',
          reason: 'NoRunner',
          message: 'there is no runner',
          hint: "start one: 'bothy up' on this machine, or 'bothy runner enroll' and 'bothy runner run' on another",
        }
      : {
          kind: 'wait',
          reason: 'RunnerNotFound',
          message: `class '${spec.class}' goes to runner '${wanted}', which does not exist`,
          hint: `create runner '${wanted}', or change spec.runner of the class`,
        }
  }
  const open = permitted.filter(each => !each.spec.cordoned && each.metadata.deletionTimestamp === undefined)
  if (open.length === 0) {
    return {
      kind: 'wait',
      reason: 'RunnerCordoned',
      message: `${namesOf(permitted)} takes no new environments`,
      hint: 'set spec.cordoned to false, or add a runner',
    }
  }
  const ready = open.filter(each => findCondition(each.status.conditions, 'Ready')?.status === 'True')
  if (ready.length === 0) return { kind: 'wait', ...whyNotReady(open) }
  const loadOf = (runner: Resource<'Runner'>) => load.get(runner.metadata.name) ?? 0
  const best = ready.toSorted(
    (a, b) => loadOf(a) - loadOf(b) || (a.metadata.name < b.metadata.name ? -1 : 1),
  )[0] as Resource<'Runner'>
  return { kind: 'bind', runner: best.metadata.name }
}

function whyNotReady(runners: readonly Resource<'Runner'>[]): {
  reason: string
  message: string
  hint: string
} {
  const conditions = runners.map(each => findCondition(each.status.conditions, 'Ready'))
  const sick = conditions.find(condition => condition?.reason === 'DriverNotReady')
  if (sick !== undefined) {
    return {
      reason: 'RunnerNotReady',
      message: `${namesOf(runners)} cannot run environments: ${sick.message}`,
      hint: sick.hint ?? "run 'bothy doctor' on the machine of the runner",
    }
  }
  return {
    reason: 'RunnerUnreachable',
    message: `${namesOf(runners)} has not been heard of`,
    hint: "start it ('bothy runner run'), or look at its log",
  }
}

function namesOf(runners: readonly Resource<'Runner'>[]): string {
  const names = runners.map(each => `'${each.metadata.name}'`).sort()
  return names.length === 1
    ? `runner ${names[0]}`
    : `every one of the runners ${names.slice(0, 10).join(', ')}`
}
