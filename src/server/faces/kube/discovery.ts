// What is served here, in the two forms that clients ask for. All of it follows from the list of served resources.
import { apiVersionOf } from '../../../api/kinds/kind-names.ts'
import { READ_ONLY, type ReadOnlyResource } from './read-only/resources.ts'
import { SERVED, type Served } from './served.ts'

const STATUS_VERBS = ['get', 'patch', 'update']

export type ReviewKind = 'SelfSubjectAccessReview' | 'SelfSubjectRulesReview' | 'SelfSubjectReview'

/** A question with its answer, no stored object. */
export interface ReviewResource {
  readonly group: string
  readonly version: string
  readonly kind: ReviewKind
  readonly description: string
  readonly plural: string
  readonly singular: string
}

/** Asked by POST, answered at once, never stored. */
export const REVIEWS: readonly ReviewResource[] = [
  {
    group: 'authorization.k8s.io',
    version: 'v1',
    kind: 'SelfSubjectAccessReview',
    description: 'May the asker do this?',
    plural: 'selfsubjectaccessreviews',
    singular: 'selfsubjectaccessreview',
  },
  {
    group: 'authorization.k8s.io',
    version: 'v1',
    kind: 'SelfSubjectRulesReview',
    description: 'What may the asker do in this namespace?',
    plural: 'selfsubjectrulesreviews',
    singular: 'selfsubjectrulesreview',
  },
  {
    group: 'authentication.k8s.io',
    version: 'v1',
    kind: 'SelfSubjectReview',
    description: 'Who is the asker?',
    plural: 'selfsubjectreviews',
    singular: 'selfsubjectreview',
  },
]

interface GroupVersion {
  readonly group: string
  readonly version: string
}

/** Every group and version that is served, the core group (named '') first, then Bothy's own. */
export const GROUP_VERSIONS: readonly GroupVersion[] = [...SERVED, ...READ_ONLY, ...REVIEWS]
  .map(({ group, version }) => ({ group, version }))
  .filter((each, at, all) => all.findIndex(other => isSame(each, other)) === at)
  .toSorted((a, b) => Number(b.group === '') - Number(a.group === ''))

const NAMED = GROUP_VERSIONS.filter(({ group }) => group !== '')

/** `/api`. */
export const apiVersions = { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] }

/** `/apis/GROUP`. */
export function apiGroup({ group, version }: GroupVersion): object {
  return { kind: 'APIGroup', apiVersion: 'v1', ...groupOf({ group, version }) }
}

/** `/apis`. */
export const apiGroupList = { kind: 'APIGroupList', apiVersion: 'v1', groups: NAMED.map(groupOf) }

/** `/apis/GROUP/VERSION`. */
export function apiResourceList(wanted: GroupVersion): object {
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersionOf(wanted),
    resources: [
      ...SERVED.filter(each => isSame(each, wanted)).flatMap(resourcesOf),
      ...READ_ONLY.filter(each => isSame(each, wanted)).map(plainResource),
      ...REVIEWS.filter(each => isSame(each, wanted)).map(({ plural, singular, kind }) => ({
        name: plural,
        singularName: singular,
        namespaced: false,
        kind,
        verbs: ['create'],
      })),
    ],
  }
}

/** Aggregated discovery: `scope` is 'core' for `/api` and 'named' for `/apis`. */
export function aggregatedDiscovery(scope: 'core' | 'named', version: 'v2' | 'v2beta1'): object {
  const items = GROUP_VERSIONS.filter(({ group }) => (group === '') === (scope === 'core')).map(each => ({
    metadata: { name: each.group, creationTimestamp: null },
    versions: [
      {
        version: each.version,
        freshness: 'Current',
        resources: [
          ...SERVED.filter(served => isSame(served, each)).map(aggregated),
          ...READ_ONLY.filter(plain => isSame(plain, each)).map(aggregatedPlain),
          ...REVIEWS.filter(review => isSame(review, each)).map(({ plural, singular, kind }) => ({
            resource: plural,
            responseKind: { group: each.group, version: each.version, kind },
            scope: 'Cluster',
            singularResource: singular,
            verbs: ['create'],
          })),
        ],
      },
    ],
  }))
  return { kind: 'APIGroupDiscoveryList', apiVersion: `apidiscovery.k8s.io/${version}`, metadata: {}, items }
}

export function aggregatedContentType(version: 'v2' | 'v2beta1'): string {
  return `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`
}

/** `/version`. kubectl reads it as a Kubernetes version: the newest whose protocol for plain kinds is spoken here. */
export function versionInfo(version: string): object {
  return {
    major: '1',
    minor: '33',
    gitVersion: 'v1.33.0+bothy',
    gitCommit: '',
    gitTreeState: 'clean',
    buildDate: '1970-01-01T00:00:00Z',
    goVersion: '',
    compiler: '',
    platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
    bothyVersion: version,
  }
}

function groupOf({ group, version }: GroupVersion): object {
  const groupVersion = { groupVersion: `${group}/${version}`, version }
  return { name: group, versions: [groupVersion], preferredVersion: groupVersion }
}

function resourcesOf(served: Served): object[] {
  const { plural, singular, namespaced, kind, verbs, shortNames, categories, hasStatus, actions, reads } =
    served
  const sub = (name: string, subVerbs: readonly string[]) => ({
    name: `${plural}/${name}`,
    singularName: '',
    namespaced,
    kind,
    verbs: subVerbs,
  })
  return [
    { name: plural, singularName: singular, namespaced, kind, verbs, shortNames, categories },
    ...(hasStatus ? [sub('status', STATUS_VERBS)] : []),
    ...actions.map(action => sub(action, ['create'])),
    ...reads.map(part => sub(part, ['get'])),
  ]
}

function plainResource(resource: ReadOnlyResource): object {
  const { plural, singular, namespaced, kind, verbs, shortNames } = resource
  return { name: plural, singularName: singular, namespaced, kind, verbs, shortNames }
}

function aggregatedPlain(resource: ReadOnlyResource): object {
  const { group, version, kind, plural, singular, namespaced, verbs, shortNames } = resource
  return {
    resource: plural,
    responseKind: { group, version, kind },
    scope: namespaced ? 'Namespaced' : 'Cluster',
    singularResource: singular,
    verbs,
    shortNames,
  }
}

function aggregated(served: Served): object {
  const { group, version, kind, plural, singular, namespaced, verbs, shortNames, categories } = served
  const responseKind = { group, version, kind }
  return {
    resource: plural,
    responseKind,
    scope: namespaced ? 'Namespaced' : 'Cluster',
    singularResource: singular,
    verbs,
    shortNames,
    categories,
    subresources: [
      ...(served.hasStatus ? [{ subresource: 'status', responseKind, verbs: STATUS_VERBS }] : []),
      ...served.actions.map(subresource => ({ subresource, responseKind, verbs: ['create'] })),
      ...served.reads.map(subresource => ({ subresource, responseKind, verbs: ['get'] })),
    ],
  }
}

function isSame(a: GroupVersion, b: GroupVersion): boolean {
  return a.group === b.group && a.version === b.version
}
