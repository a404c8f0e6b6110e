// Which runner an environment goes to. An environment is bound once and for all: its disk lives there.
import { findCondition } from '../../api/conditions.ts'
import { DEFAULT_ISOLATION } from '../../api/isolation.ts'
import { mayCopy, sourceKey } from '../../api/ownership.ts'
import type { Resource } from '../../api/resource.ts'
import { admit, type Claim } from '../../core/governor/admission.ts'
import { capacityOf, claimOf } from './claims.ts'

export type Placement =
  | { readonly kind: 'bind'; readonly runner: string }
  /** Nowhere to go at present; said in condition Scheduled. */
  | { readonly kind: 'wait'; readonly reason: string; readonly message: string; readonly hint: string }
  | { readonly kind: 'nothing'; readonly why: string }

/** All of the environment's namespace. */
export interface Surroundings {
  readonly classes: readonly Resource<'EnvironmentClass'>[]
  readonly runners: readonly Resource<'Runner'>[]
  /** What each runner has promised to the environments that it has, by name. */
  readonly promised: ReadonlyMap<string, readonly Claim[]>
  /** Whose disk it begins with, if that is there. */
  readonly source?: Resource<'Environment' | 'Snapshot'> | undefined
}

/**
 * The reachable runner that the class permits, that can promise what it promises, and that has the fewest environments; of equals the first by name. A copy of
 * a disk shares its blocks, so it goes where the disk is.
 */
export function plan(
  environment: Resource<'Environment'>,
  { classes, runners, promised, source }: Surroundings,
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
  const copied = sourceKey(environment)
  const place = copied && placeOfSource(copied, source, environment)
  if (place !== undefined && 'reason' in place) return { kind: 'wait', ...place }
  if (place !== undefined && wanted !== undefined && wanted !== place.runner) {
    return {
      kind: 'wait',
      reason: 'SourceElsewhere',
      message: `class '${spec.class}' goes to runner '${wanted}', and what it is a copy of is on runner '${place.runner}'`,
      hint: 'use the class of what is copied',
    }
  }
  const only = place?.runner ?? wanted
  const permitted = runners.filter(each => only === undefined || each.metadata.name === only)
  if (permitted.length === 0) {
    if (place !== undefined) {
      const hint = `create runner '${place.runner}' again, or copy something else`
      const message = `what it is a copy of is on runner '${place.runner}', which does not exist`
      return { kind: 'wait', reason: 'RunnerNotFound', message, hint }
    }
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
  const able = ready.filter(each => isAble(environmentClass, each))
  if (able.length === 0) return { kind: 'wait', ...whyNotAble(environmentClass, ready) }
  const equipped = able.filter(each => missingDevices(environmentClass, each).length === 0)
  if (equipped.length === 0) return { kind: 'wait', ...whyNotEquipped(environmentClass, able) }
  const claim = claimOf(environment, environmentClass)
  const verdicts = equipped.map(each => ({ runner: each, why: whyFull(each, promised, claim) }))
  const roomy = verdicts.filter(({ why }) => why === undefined).map(({ runner }) => runner)
  if (roomy.length === 0) return { kind: 'wait', ...whyAllFull(verdicts) }
  const loadOf = ({ metadata: { name } }: Resource<'Runner'>) => promised.get(name)?.length ?? 0
  const best = roomy.toSorted(
    (a, b) => loadOf(a) - loadOf(b) || (a.metadata.name < b.metadata.name ? -1 : 1),
  )[0] as Resource<'Runner'>
  return { kind: 'bind', runner: best.metadata.name }
}

type Why = { readonly reason: string; readonly message: string; readonly hint: string }

/** Where the disk is that a copy is to be made of, or why there is none (yet). */
export function placeOfSource(
  { kind, name }: { readonly kind: string; readonly name: string },
  source: Resource<'Environment' | 'Snapshot'> | undefined,
  copy: Resource<'Environment' | 'Snapshot'>,
): { readonly runner: string } | Why {
  const what = `${kind.toLowerCase()} '${name}'`
  if (source === undefined || source.metadata.deletionTimestamp !== undefined) {
    const message = source === undefined ? `there is no ${what}` : `${what} is being deleted`
    return { reason: 'SourceNotFound', message, hint: 'copy another one' }
  }
  if (!mayCopy(source, copy)) {
    const hint = `ask its owner to push what is in it to where you can clone it`
    return { reason: 'SourceForbidden', message: `${what} belongs to somebody else`, hint }
  }
  const { phase } = source.status
  if (source.kind === 'Snapshot' && phase === 'Failed') {
    const hint = `'bothy explain snapshot/${name}' says why`
    return { reason: 'SourceFailed', message: `${what} could not be taken`, hint }
  }
  const isMade =
    source.kind === 'Snapshot' ? phase === 'Ready' : (source as Resource<'Environment'>).status.epoch > 0
  const { runner } = source.spec
  if (runner !== undefined && isMade) return { runner }
  const hint = `it goes on by itself; 'bothy explain ${kind.toLowerCase()}/${name}' says what that waits for`
  return { reason: 'SourceNotReady', message: `${what} is not made yet`, hint }
}

const isolationOf = ({ spec }: Resource<'EnvironmentClass'>) => spec.isolation ?? DEFAULT_ISOLATION
/** A runner that does not say is an old one, or is just starting. */
const isolationsOf = ({ status }: Resource<'Runner'>) => status.isolations ?? [DEFAULT_ISOLATION]

function isAble(environmentClass: Resource<'EnvironmentClass'>, runner: Resource<'Runner'>): boolean {
  return isolationsOf(runner).includes(isolationOf(environmentClass))
}

function whyNotAble(
  environmentClass: Resource<'EnvironmentClass'>,
  runners: readonly Resource<'Runner'>[],
): Why {
  const can = runners
    .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .slice(0, 10)
    .map(each => `runner '${each.metadata.name}' can do ${isolationsOf(each).join(', ')}`)
  const isolation = isolationOf(environmentClass)
  return {
    reason: 'IsolationAbsent',
    message: `class '${environmentClass.metadata.name}' asks for isolation ${isolation}: ${can.join('; ')}`,
    hint: "'bothy doctor' on the machine of a runner says what it lacks for that (docs/operate/isolation.md), or change spec.isolation of the class",
  }
}

function missingDevices(
  { spec }: Resource<'EnvironmentClass'>,
  { status }: Resource<'Runner'>,
): readonly string[] {
  return (spec.devices ?? []).filter(each => status.devices?.includes(each) !== true)
}

function whyNotEquipped(
  environmentClass: Resource<'EnvironmentClass'>,
  runners: readonly Resource<'Runner'>[],
): Why {
  const lacks = runners
    .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    .slice(0, 10)
    .map(each => {
      const has = each.status.devices ?? []
      const offers = has.length === 0 ? 'has none' : `has ${has.slice(0, 10).join(', ')}`
      return `runner '${each.metadata.name}' lacks ${missingDevices(environmentClass, each).join(', ')} and ${offers}`
    })
  return {
    reason: 'DeviceAbsent',
    message: `class '${environmentClass.metadata.name}' asks for devices: ${lacks.join('; ')}`,
    hint: 'install a CDI spec for the device on a runner (docs/operate/devices.md), or change spec.devices of the class',
  }
}

function whyFull(
  { metadata, status }: Resource<'Runner'>,
  promised: Surroundings['promised'],
  claim: Claim,
): string | undefined {
  const capacity = capacityOf(status)
  const admission =
    capacity === undefined ? undefined : admit(capacity, promised.get(metadata.name) ?? [], claim)
  return admission?.admits === false ? admission.why : undefined
}

function whyAllFull(
  verdicts: readonly { readonly runner: Resource<'Runner'>; readonly why: string | undefined }[],
): Why {
  const each = verdicts.map(({ runner, why }) => `${runner.metadata.name}: ${why}`).sort()
  const count =
    verdicts.length === 1 ? 'the runner is full' : `${each.length} of ${each.length} runners are full`
  return {
    reason: 'RunnerFull',
    message: `${count}: ${each.slice(0, 10).join('; ')}`,
    hint: 'stop or delete environments, add a runner, or lower memoryGuarantee of the class',
  }
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
