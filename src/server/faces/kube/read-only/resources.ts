// Resources that are not stored and never change: everybody reads them, nobody writes them.
import type { KindNames } from '../../../../api/kinds/kind-names.ts'
import { definitions } from './definitions.ts'

export interface ReadOnlyResource extends KindNames {
  readonly description: string
  /** Those that discovery tells of; none keeps a resource out of `api-resources` and still lets it be looked up. */
  readonly verbs: readonly ('get' | 'list' | 'watch')[]
  readonly objects: () => readonly object[]
}

export const READ_ONLY: readonly ReadOnlyResource[] = [
  {
    group: 'apiextensions.k8s.io',
    version: 'v1',
    kind: 'CustomResourceDefinition',
    plural: 'customresourcedefinitions',
    singular: 'customresourcedefinition',
    shortNames: ['crd', 'crds'],
    namespaced: false,
    description: 'One of the kinds that are served, as Kubernetes tools know them. It cannot be changed.',
    verbs: ['get', 'list', 'watch'],
    objects: definitions,
  },
  {
    // `kubectl cluster-info` looks for some, and prints the address of the server only when it may look.
    group: '',
    version: 'v1',
    kind: 'Service',
    plural: 'services',
    singular: 'service',
    shortNames: [],
    namespaced: true,
    description: 'There are none.',
    verbs: [],
    objects: () => [],
  },
]
