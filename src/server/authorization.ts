// May they? One pure function, asked in front of the store by `access.ts` for every face of the API.
//
//   admin    everything, except entering and copying environments of others, and changing who owns something
//   member   reads all; creates environments and snapshots; changes, deletes, enters and copies own ones
//   viewer   reads all
//   runner   what concerns itself: its environments and snapshots, their classes, its own Runner, events about these
//
// Events are written by controllers, by runners and by admins; organizations by admins.
import { jsonEqual } from '../api/json-equal.ts'
import { DEFAULT_ORGANIZATION } from '../api/kinds/organization.ts'
import { mayCopy, ownerOf, RUNNER_FINALIZER } from '../api/ownership.ts'
import { isCollectors } from '../api/propagation.ts'
import type { Draft, Kind, Resource } from '../api/resource.ts'
import type { Principal } from './principal.ts'

export type Verb =
  | 'get'
  | 'list'
  | 'watch'
  | 'create'
  | 'update'
  | 'update-status'
  | 'delete'
  /** Through exec, content or logs. */
  | 'enter'
  /** Making an enrolment token. */
  | 'enroll'

export interface AccessRequest {
  readonly principal: Principal
  readonly verb: Verb
  readonly kind: Kind
  readonly namespace: string
  /** Equality on fields that a list or watch is restricted to. */
  readonly fields?: Readonly<Record<string, string>>
  /** The stored object; absent for list, watch and create. */
  readonly before?: Resource
  /** What would be stored; present for create, update and update-status. */
  readonly after?: Resource | Draft
  /** Of a create: whose disk it would be a copy of, as far as that is there. */
  readonly source?: Resource
  /** Objects whose deletion in the foreground would wait for it, and would not have before. */
  readonly blocked?: readonly Resource[]
  /** What an event is about, if that is there. */
  readonly subject?: Resource
}

export type Decision =
  | { readonly allow: true }
  /** `hidden`: the asker must not even learn that the object exists. */
  | { readonly allow: false; readonly why: string; readonly hidden?: boolean }

const ALLOW: Decision = { allow: true }
const deny = (why: string): Decision => ({ allow: false, why })
const HIDE: Decision = { allow: false, why: 'it does not concern this runner', hidden: true }
const READS: readonly Verb[] = ['get', 'list', 'watch']

export function authorize(request: AccessRequest): Decision {
  const { principal, before, after } = request
  if (request.verb === 'update' && ownerOf(before) !== ownerOf(after)) return deny('the owner never changes')
  if (request.verb === 'delete' && request.kind === 'Organization' && isDefault(before))
    return deny('this organization always exists')
  if (principal.kind === 'runner') return authorizeRunner(request, principal)
  if (request.verb === 'enter')
    return principal.role !== 'viewer' && ownerOf(before) === principal.name
      ? ALLOW
      : deny('only the owner enters an environment')
  // What is made before its source is judged again when it is bound, and when it is made.
  if (request.verb === 'create' && request.source !== undefined && after !== undefined)
    if (!mayCopy(request.source, after)) return deny('only its owner copies an environment or a snapshot')
  if (principal.role === 'admin' || READS.includes(request.verb)) return ALLOW
  if (principal.role === 'viewer') return deny('viewers only read')
  return authorizeMember(request, principal.name)
}

function isDefault(object: Resource | undefined): boolean {
  return object?.metadata.name === DEFAULT_ORGANIZATION
}

function authorizeMember({ verb, kind, before, after, blocked }: AccessRequest, name: string): Decision {
  if (!isOnRunners(kind)) return deny('members change environments and snapshots only')
  // Whoever blocks an object's deletion has a say in it.
  if (blocked?.some(each => !isOnRunners(each.kind) || ownerOf(each) !== name))
    return deny('blockOwnerDeletion is for owners that one may delete oneself')
  if (verb === 'create') {
    if (runnerOf(after) !== undefined) return deny('spec.runner is set by the scheduler')
    return protectedFinalizers(after).length === 0
      ? ALLOW
      : deny('finalizers of bothy.dev and of the garbage collector are not for members')
  }
  if (verb !== 'update' && verb !== 'delete') return deny('members do not do that')
  if (ownerOf(before) !== name) return deny('it belongs to somebody else')
  if (verb === 'delete') return ALLOW
  if (runnerOf(before) !== runnerOf(after)) return deny('spec.runner is set by the scheduler')
  return jsonEqual(protectedFinalizers(before), protectedFinalizers(after))
    ? ALLOW
    : deny('finalizers of bothy.dev and of the garbage collector are not for members')
}

type RunnerPrincipal = Extract<Principal, { kind: 'runner' }>

function authorizeRunner(request: AccessRequest, runner: RunnerPrincipal): Decision {
  const { verb, kind, namespace, fields, before, after } = request
  if (namespace !== runner.namespace) return HIDE
  if (kind === 'EnvironmentClass') return READS.includes(verb) ? ALLOW : deny('runners do not change classes')
  if (kind === 'Runner') {
    if (verb === 'list' || verb === 'watch')
      return fields?.['metadata.name'] === runner.name
        ? ALLOW
        : deny(`runners ask with fieldSelector metadata.name=${runner.name}`)
    if (before?.metadata.uid !== runner.uid) return HIDE
    return verb === 'get' || verb === 'update-status' ? ALLOW : deny('runners write their own status only')
  }
  if (kind === 'Event') return authorizeReport(request, runner)
  if (!isOnRunners(kind)) return deny('runners have no business with this kind')
  if (verb === 'list' || verb === 'watch')
    return fields?.['spec.runner'] === runner.name
      ? ALLOW
      : deny(`runners ask with fieldSelector spec.runner=${runner.name}`)
  if (verb === 'create') return deny('runners create nothing')
  if (runnerOf(before) !== runner.name) return HIDE
  if (verb === 'get' || verb === 'update-status') return ALLOW
  if (verb === 'update')
    return dropsOwnFinalizerOnly(before, after)
      ? ALLOW
      : deny(`of the main part, runners remove ${RUNNER_FINALIZER} from a deleted object only`)
  return deny('runners do not do that')
}

/** Runners tell of themselves, and of what is bound to them; and they count on in what they have told. */
function authorizeReport({ verb, before, after, subject }: AccessRequest, runner: RunnerPrincipal): Decision {
  const reports = [before, after].filter(each => each !== undefined) as (Resource<'Event'> | Draft<'Event'>)[]
  if (verb !== 'create' && verb !== 'update' && verb !== 'get') return deny('runners only add events')
  if (reports.some(({ spec }) => spec.reportingInstance !== runner.name))
    return deny(`runners report as themselves: reportingInstance must be ${runner.name}`)
  if (verb === 'get') return ALLOW
  // What holds an event up would keep it for ever, and what blocks its owner would keep that.
  const { finalizers = [], ownerReferences = [] } = after?.metadata ?? {}
  if (finalizers.length > 0 || ownerReferences.length > 0)
    return deny('events of runners have neither finalizers nor owners')
  if (subject?.kind === 'Runner') return subject.metadata.uid === runner.uid ? ALLOW : HIDE
  return subject !== undefined && runnerOf(subject) === runner.name ? ALLOW : HIDE
}

function dropsOwnFinalizerOnly(before: Resource | undefined, after: Resource | Draft | undefined): boolean {
  if (before?.metadata.deletionTimestamp === undefined || after === undefined) return false
  const kept = (before.metadata.finalizers ?? []).filter(each => each !== RUNNER_FINALIZER)
  const rest = ({ metadata, spec }: Resource | Draft) => ({
    spec,
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    ownerReferences: metadata.ownerReferences ?? [],
  })
  return jsonEqual(after.metadata.finalizers ?? [], kept) && jsonEqual(rest(after), rest(before))
}

/** Kinds whose objects are bound to a runner, and belong to whoever made them. */
function isOnRunners(kind: Kind): boolean {
  return kind === 'Environment' || kind === 'Snapshot'
}

function runnerOf(object: Resource | Draft | undefined): string | undefined {
  return object !== undefined && isOnRunners(object.kind)
    ? (object as Resource<'Environment' | 'Snapshot'>).spec.runner
    : undefined
}

/** Ours, and the garbage collector's: whoever asks for a deletion says what is to be in them. */
function protectedFinalizers(object: Resource | Draft | undefined): readonly string[] {
  return (object?.metadata.finalizers ?? []).filter(
    each => each.startsWith('bothy.dev/') || isCollectors(each),
  )
}
