// May they ever? Answers questions about what could be done, before there is a request. It has no rules of its own: it
// puts representative requests to `authorize`, so that the two cannot disagree.
//
//   an object is given     the answer is about that one
//   scope 'own'            yes, when it is allowed on an object of theirs: a member may delete environments, namely own
//                          ones; a runner may write the status of environments, namely those bound to it
//   scope 'any'            yes, when it is allowed on an object that is somebody else's, and so on every one

import { OWNER_ANNOTATION, RUNNER_FINALIZER } from '../api/ownership.ts'
import type { Draft, Kind, Resource } from '../api/resource.ts'
import { type AccessRequest, authorize, type Decision, type Verb } from './authorization.ts'
import type { Principal } from './principal.ts'

export interface AccessQuestion {
  readonly principal: Principal
  readonly verb: Verb
  readonly kind: Kind
  /** Empty: all of them. */
  readonly namespace: string
  /** The stored object, when the question is about one; lists and watches are not. */
  readonly object?: Resource
  readonly scope: 'own' | 'any'
}

type Situation = Pick<AccessRequest, 'before' | 'after' | 'subject' | 'fields'>

/** Yes, if `authorize` allows one of the requests that the question stands for; else why it does not. */
export function mayEver(question: AccessQuestion): Decision {
  const { principal, verb, kind, namespace, object } = question
  const isOverMany = verb === 'list' || verb === 'watch'
  const situations =
    object === undefined || isOverMany ? imagined(question) : situationsOf(verb, object, principal)
  let last: Decision = { allow: false, why: 'nobody may do that' }
  for (const situation of situations) {
    last = authorize({ principal, verb, kind, namespace, ...situation })
    if (last.allow) return last
  }
  return last
}

function imagined({ principal, verb, kind, namespace, scope }: AccessQuestion): Situation[] {
  const objects = scope === 'any' ? [foreign(kind, namespace)] : ownOf(principal, kind, namespace)
  const isRead = verb === 'list' || verb === 'watch'
  if (!isRead) return objects.flatMap(each => situationsOf(verb, each, principal))
  const { name } = principal
  const restricted = { fields: { 'metadata.name': name, 'spec.runner': name } }
  return scope === 'own' && principal.kind === 'runner' ? [restricted] : [{}]
}

/**
 * What requests about this object look like: changes that change nothing, and the one that runners are there for. An
 * event of a runner's counts as one about itself; about whom it may tell otherwise depends on what it says.
 */
function situationsOf(verb: Verb, object: Resource, principal: Principal): Situation[] {
  const subject = principal.kind === 'runner' ? { subject: runnerOf(principal) } : {}
  if (verb === 'create') return [{ after: object as unknown as Draft, ...subject }]
  if (verb !== 'update' && verb !== 'update-status') return [{ before: object }]
  const finalizers = (object.metadata.finalizers ?? []).filter(each => each !== RUNNER_FINALIZER)
  const released = { ...object, metadata: { ...object.metadata, finalizers } }
  return [object, released].map(after => ({ before: object, after, ...subject }))
}

/** Objects that are theirs, in the stages of life that matter. */
function ownOf(principal: Principal, kind: Kind, namespace: string): Resource[] {
  const { name } = principal
  if (principal.kind === 'user')
    return [objectOf(kind, namespace, { annotations: { [OWNER_ANNOTATION]: name } }, {})]
  if (kind === 'Runner') return [runnerOf(principal)]
  if (kind === 'Event') return [objectOf(kind, namespace, {}, { reportingInstance: name })]
  const going = { deletionTimestamp: TIME, finalizers: [RUNNER_FINALIZER] }
  return [{}, going].map(metadata => objectOf(kind, namespace, metadata, { runner: name }))
}

function foreign(kind: Kind, namespace: string): Resource {
  return objectOf(kind, namespace, { annotations: { [OWNER_ANNOTATION]: SOMEBODY } }, {})
}

function runnerOf({ namespace, name, uid }: Extract<Principal, { kind: 'runner' }>): Resource {
  return objectOf('Runner', namespace, { name, uid }, {})
}

/** No user has this name. */
const SOMEBODY = '*'
const TIME = '1970-01-01T00:00:00Z'

/** As much of an object as decisions look at. */
function objectOf(kind: Kind, namespace: string, metadata: object, spec: object): Resource {
  const common = { name: SOMEBODY, namespace, uid: '', resourceVersion: '', generation: 1 }
  const given = { ...common, creationTimestamp: TIME, ...metadata }
  return { apiVersion: '', kind, metadata: given, spec, status: {} } as unknown as Resource
}
