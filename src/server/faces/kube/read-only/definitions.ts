// Bothy's own kinds as CustomResourceDefinitions. There are none to define here, but some tools ask for them before they
// believe in a kind.
import { createHash } from 'node:crypto'
import { structuralEach } from '../openapi/structural.ts'
import { type JsonSchema, SERVED, type Served } from '../served.ts'

/** `kubectl apply --prune --applyset=KIND/NAME` takes kinds that say so; there are no Secrets and ConfigMaps to be that. */
const LABELS = { 'applyset.kubernetes.io/is-parent-type': 'true' }

/** One for each kind that Kubernetes does not have. */
export function definitions(): readonly object[] {
  return SERVED.filter(({ isView, group }) => !isView && !group.endsWith('.k8s.io')).map(definitionOf)
}

function definitionOf(served: Served): object {
  const { group, version, kind, plural, singular, shortNames, categories, namespaced, hasStatus } = served
  const name = `${plural}.${group}`
  const names = { plural, singular, kind, listKind: `${kind}List`, shortNames, categories }
  const additionalPrinterColumns = served.columns.map(({ name, type, path, description, wide }) => ({
    name,
    type: type === 'reference' ? 'string' : type,
    description,
    jsonPath: path,
    ...(wide === true ? { priority: 1 } : {}),
  }))
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {
      name,
      labels: LABELS,
      uid: uidOf(name),
      resourceVersion: '1',
      generation: 1,
      creationTimestamp: null,
    },
    spec: {
      group,
      names,
      scope: namespaced ? 'Namespaced' : 'Cluster',
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          schema: { openAPIV3Schema: schemaOf(served) },
          ...(hasStatus ? { subresources: { status: {} } } : {}),
          additionalPrinterColumns,
        },
      ],
      conversion: { strategy: 'None' },
    },
    status: {
      acceptedNames: names,
      storedVersions: [version],
      conditions: [
        { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' },
        { type: 'Established', status: 'True', reason: 'InitialNamesAccepted', message: 'it is served' },
      ],
    },
  }
}

function schemaOf({ description, properties }: Served): JsonSchema {
  return {
    type: 'object',
    description,
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      ...structuralEach(properties()),
    },
  }
}

/** The same for the same name, wherever it is asked for. */
function uidOf(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex')
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `8${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-')
}
