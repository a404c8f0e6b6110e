// What the verbs of Kubernetes mean here.
import { apiVersionOf } from '../../../../api/kinds/kind-names.ts'
import type { Verb } from '../../../authorization.ts'
import { SERVED, type Served } from '../served.ts'

/** The part of a resource that a verb is about: '' is the resource itself. */
export interface Subject {
  readonly served: Served
  readonly subresource: string
}

const MAIN_VERBS: Readonly<Record<string, Verb>> = {
  get: 'get',
  list: 'list',
  watch: 'watch',
  create: 'create',
  update: 'update',
  patch: 'update',
  delete: 'delete',
  deletecollection: 'delete',
}
const STATUS_VERBS: Readonly<Record<string, Verb>> = {
  get: 'get',
  update: 'update-status',
  patch: 'update-status',
}

export function subresourcesOf(served: Served): readonly string[] {
  return [...(served.hasStatus ? ['status'] : []), ...served.actions, ...served.reads]
}

/** Ours, by Kubernetes' verb. */
export function verbsOf({ served, subresource }: Subject): Readonly<Record<string, Verb>> {
  if (subresource === 'status') return STATUS_VERBS
  if (served.reads.includes(subresource)) return { get: 'get' }
  if (subresource !== '') return { create: subresource === 'enrollment-token' ? 'enroll' : 'enter' }
  return Object.fromEntries(
    served.verbs.flatMap(verb => (MAIN_VERBS[verb] ? [[verb, MAIN_VERBS[verb]]] : [])),
  )
}

export interface Wanted {
  readonly group: string
  readonly version: string
  readonly resource: string
  readonly subresource: string
}

/** What a question is about; `*` stands for everything, of subresources only where it is written. */
export function subjectsOf({ group, version, resource, subresource }: Wanted): Subject[] {
  const matches = (given: string, value: string) => given === '*' || given === value
  const found = SERVED.filter(
    served =>
      matches(group, served.group) &&
      (version === '' || matches(version, served.version)) &&
      matches(resource, served.plural),
  )
  return found.flatMap(served => {
    const parts = subresource === '*' ? subresourcesOf(served) : [subresource]
    return parts
      .filter(part => part === '' || subresourcesOf(served).includes(part))
      .map(part => ({ served, subresource: part }))
  })
}

/** `environments.bothy.dev/exec` in `bothy.dev/v1alpha1`, for people. */
export function describeSubject({ served, subresource }: Subject): string {
  const part = subresource === '' ? '' : `/${subresource}`
  return `${served.plural}${part} of ${apiVersionOf(served)}`
}
