// Answers to access reviews, from questions that have been parsed.
import type { Resource } from '../../../../api/resource.ts'
import { mayEver } from '../../../may-ever.ts'
import type { Principal } from '../../../principal.ts'
import { REVIEWS } from '../discovery.ts'
import { READ_ONLY } from '../read-only/resources.ts'
import { SERVED } from '../served.ts'
import { mayAskPath, PATH_RULES } from './paths.ts'
import { describeSubject, type Subject, subjectsOf, subresourcesOf, verbsOf, type Wanted } from './verbs.ts'

/** What needs no decision. */
const FOR_ALL: readonly { group: string; plural: string; verbs: readonly string[] }[] = [
  ...READ_ONLY,
  ...REVIEWS.map(each => ({ ...each, verbs: ['create'] })),
]

export interface ResourceAttributes extends Wanted {
  /** Empty: all of them. */
  readonly namespace: string
  readonly verb: string
  /** Empty: any. */
  readonly name: string
}

export interface PathAttributes {
  readonly path: string
  readonly verb: string
}

/** `reason` says why in either case. */
export interface Answer {
  readonly allowed: boolean
  readonly reason: string
}

/**
 * `object`: the named one, if there is one that they may know of. Without it the answer is whether there can be one that
 * they may do it to: own ones are enough. `*` as the verb asks for everything with every object.
 */
export function judgeResource(
  principal: Principal,
  wanted: ResourceAttributes,
  object: Resource | undefined,
): Answer {
  if (isForAll(wanted)) return { allowed: true, reason: 'everybody who is known here may' }
  const subjects = subjectsOf(wanted)
  if (subjects.length === 0) return { allowed: false, reason: 'the server has no such resource' }
  const refusal = subjects.map(subject => refuse(principal, wanted, subject, object)).find(Boolean)
  return refusal ?? { allowed: true, reason: allowedBecause(principal, wanted, subjects, object) }
}

export function judgePath({ path, verb }: PathAttributes): Answer {
  if (mayAskPath(path, verb)) return { allowed: true, reason: 'everybody who is known here may read it' }
  return { allowed: false, reason: 'the server has no such path, or it is not for reading' }
}

/** All that they may do in a namespace; own objects are enough. */
export function rulesOf(principal: Principal, namespace: string): object {
  const resources = SERVED.flatMap(served =>
    ['', ...subresourcesOf(served)].map(subresource => ({ served, subresource })),
  )
  const rules = resources.flatMap(subject => {
    const { group, plural } = subject.served
    const verbs = Object.entries(verbsOf(subject))
      .filter(([, verb]) => ask(principal, subject, verb, namespace, 'own').allow)
      .map(([name]) => name)
    const resource = subject.subresource === '' ? plural : `${plural}/${subject.subresource}`
    return verbs.length === 0 ? [] : [{ verbs, apiGroups: [group], resources: [resource] }]
  })
  const forAll = FOR_ALL.filter(({ verbs }) => verbs.length > 0)
  const plain = forAll.map(({ group, plural, verbs }) => ({ verbs, apiGroups: [group], resources: [plural] }))
  return { resourceRules: [...rules, ...plain], nonResourceRules: PATH_RULES, incomplete: false }
}

/** Who they are, as Kubernetes describes users. */
export function userInfoOf(principal: Principal): object {
  if (principal.kind === 'user')
    return { username: principal.name, groups: [`bothy:${principal.role}`, 'system:authenticated'] }
  const { namespace, name, uid } = principal
  return { username: `runner:${namespace}/${name}`, uid, groups: ['bothy:runner', 'system:authenticated'] }
}

function refuse(
  principal: Principal,
  { verb, namespace }: ResourceAttributes,
  subject: Subject,
  object: Resource | undefined,
): Answer | undefined {
  const verbs = verbsOf(subject)
  const isAll = verb === '*'
  if (!isAll && !Object.hasOwn(verbs, verb)) {
    const known = Object.keys(verbs).join(', ')
    return { allowed: false, reason: `${describeSubject(subject)}: its verbs are ${known}` }
  }
  const asked = isAll ? Object.values(verbs) : [verbs[verb]!]
  for (const each of asked) {
    const decision = ask(principal, subject, each, namespace, isAll ? 'any' : 'own', object)
    if (!decision.allow) return { allowed: false, reason: decision.why }
  }
  return undefined
}

function ask(
  principal: Principal,
  { served }: Subject,
  verb: Parameters<typeof mayEver>[0]['verb'],
  namespace: string,
  scope: 'own' | 'any',
  object?: Resource,
) {
  const question = {
    principal,
    verb,
    kind: served.stored,
    scope,
    namespace: served.namespaced ? namespace : '',
  }
  // Whoever creates under a taken name is refused for the name, not for lack of rights.
  return mayEver({ ...question, ...(object === undefined || verb === 'create' ? {} : { object }) })
}

function allowedBecause(
  principal: Principal,
  wanted: ResourceAttributes,
  subjects: readonly Subject[],
  object: Resource | undefined,
): string {
  const who = principal.kind === 'user' ? `${principal.name} is ${principal.role}` : 'it is a runner'
  if (object !== undefined || wanted.verb === '*') return who
  const everywhere = subjects.every(subject => {
    const verb = verbsOf(subject)[wanted.verb]
    return verb !== undefined && ask(principal, subject, verb, wanted.namespace, 'any').allow
  })
  return everywhere ? who : `${who}: own ones only`
}

function isForAll({ group, resource, verb, subresource }: ResourceAttributes): boolean {
  return FOR_ALL.some(
    each =>
      each.group === group && each.plural === resource && each.verbs.includes(verb) && subresource === '',
  )
}
