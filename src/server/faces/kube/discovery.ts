// What is served here, in the two forms that clients ask for. All of it follows from the registry of kinds.

import type { KindDefinition } from '../../../api/kinds/kind.ts'
import { KINDS } from '../../../api/kinds/registry.ts'
import { API_VERSION, GROUP, VERSION } from '../../../api/resource.ts'

const DEFINITIONS = Object.values(KINDS) as KindDefinition<unknown, unknown>[]
const VERBS = ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch']
const STATUS_VERBS = ['get', 'patch', 'update']
const GROUP_VERSION = { groupVersion: API_VERSION, version: VERSION }

/** `/api`: the core group has no kinds here. */
export const apiVersions = { kind: 'APIVersions', versions: [], serverAddressByClientCIDRs: [] }

export const apiGroup = {
  kind: 'APIGroup',
  apiVersion: 'v1',
  name: GROUP,
  versions: [GROUP_VERSION],
  preferredVersion: GROUP_VERSION,
}

/** `/apis`. */
export const apiGroupList = { kind: 'APIGroupList', apiVersion: 'v1', groups: [apiGroup] }

/** `/apis/GROUP/VERSION`. */
export const apiResourceList = {
  kind: 'APIResourceList',
  apiVersion: 'v1',
  groupVersion: API_VERSION,
  resources: DEFINITIONS.flatMap(({ kind, plural, singular, shortNames, namespaced, actions }) => [
    {
      name: plural,
      singularName: singular,
      namespaced,
      kind,
      verbs: VERBS,
      shortNames,
      categories: ['all'],
    },
    { name: `${plural}/status`, singularName: '', namespaced, kind, verbs: STATUS_VERBS },
    ...actions.map(action => ({
      name: `${plural}/${action}`,
      singularName: '',
      namespaced,
      kind,
      verbs: ['create'],
    })),
  ]),
}

/** Aggregated discovery: `group` is 'core' for `/api` and 'all' for `/apis`. */
export function aggregatedDiscovery(group: 'core' | 'all', version: 'v2' | 'v2beta1'): object {
  const items =
    group === 'core'
      ? []
      : [{ metadata: { name: GROUP, creationTimestamp: null }, versions: [versionOfGroup] }]
  return { kind: 'APIGroupDiscoveryList', apiVersion: `apidiscovery.k8s.io/${version}`, metadata: {}, items }
}

export function aggregatedContentType(version: 'v2' | 'v2beta1'): string {
  return `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`
}

const versionOfGroup = {
  version: VERSION,
  freshness: 'Current',
  resources: DEFINITIONS.map(({ kind, plural, singular, shortNames, namespaced, actions }) => {
    const responseKind = { group: GROUP, version: VERSION, kind }
    return {
      resource: plural,
      responseKind,
      scope: namespaced ? 'Namespaced' : 'Cluster',
      singularResource: singular,
      verbs: VERBS,
      shortNames,
      categories: ['all'],
      subresources: [
        { subresource: 'status', responseKind, verbs: STATUS_VERBS },
        ...actions.map(subresource => ({ subresource, responseKind, verbs: ['create'] })),
      ],
    }
  }),
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
