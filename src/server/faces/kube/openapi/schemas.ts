// The components of OpenAPI documents: one for each kind that is served, its list, and what they refer to.
import { GROUP_VERSIONS, REVIEWS } from '../discovery.ts'
import { READ_ONLY, type ReadOnlyResource } from '../read-only/resources.ts'
import { type JsonSchema, rootOf, SERVED, type Served } from '../served.ts'
import { META, metaSchemas, ref, text } from './meta-schemas.ts'
import { REVIEW_PROPERTIES } from './review-schemas.ts'
import { structuralEach } from './structural.ts'

type Named = readonly [name: string, schema: JsonSchema]
type Type = Pick<Served, 'group' | 'version' | 'kind'>

/** `dev.bothy.v1alpha1.Environment`; for what Kubernetes has too, its own name for it. */
export function componentName({ group, version, kind }: Type): string {
  if (group === '') return `io.k8s.api.core.${version}.${kind}`
  if (group.endsWith('.k8s.io')) return `io.k8s.api.${group.split('.')[0]}.${version}.${kind}`
  return `${group.split('.').toReversed().join('.')}.${version}.${kind}`
}

export function gvkOf({ group, version, kind }: Type): { group: string; version: string; kind: string } {
  return { group, version, kind }
}

/** Everything that is served under `roots`, by name. */
export function componentsOf(roots: readonly string[]): Readonly<Record<string, JsonSchema>> {
  const isWanted = (each: Type) => roots.includes(rootOf(each))
  return Object.fromEntries([
    ...SERVED.filter(isWanted).flatMap(served => [objectSchema(served), listSchema(served)]),
    ...READ_ONLY.filter(isWanted).flatMap(plain => [plainSchema(plain), listSchema(plain)]),
    ...REVIEWS.filter(isWanted).map(reviewSchema),
    ...Object.entries(metaSchemas(kind => GROUP_VERSIONS.map(each => gvkOf({ ...each, kind })))),
  ])
}

function objectSchema(served: Served): Named {
  return named(served, {
    type: 'object',
    description: served.description,
    properties: {
      ...typeProperties(served),
      metadata: ref(`${META}.ObjectMeta`, 'Name, labels, and what the server notes.'),
      ...structuralEach(served.properties()),
    },
  })
}

function listSchema(served: Type): Named {
  const kind = `${served.kind}List`
  return named(
    { ...served, kind },
    {
      type: 'object',
      description: `A list of ${served.kind}.`,
      required: ['items'],
      properties: {
        ...typeProperties({ ...served, kind }),
        metadata: ref(`${META}.ListMeta`, 'How far the list goes.'),
        items: { type: 'array', items: ref(componentName(served)), description: 'The objects.' },
      },
    },
  )
}

/** Nobody writes it, so that nobody needs to know more of it. */
function plainSchema(resource: ReadOnlyResource): Named {
  const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }
  return named(resource, {
    type: 'object',
    description: resource.description,
    properties: {
      ...typeProperties(resource),
      metadata: ref(`${META}.ObjectMeta`, 'Its name.'),
      spec: { ...open, description: 'What it consists of.' },
      status: { ...open, description: 'What has become of it.' },
    },
  })
}

function reviewSchema(review: (typeof REVIEWS)[number]): Named {
  return named(review, {
    type: 'object',
    description: review.description,
    properties: {
      ...typeProperties(review),
      metadata: ref(`${META}.ObjectMeta`, 'Not used.'),
      ...REVIEW_PROPERTIES[review.kind],
    },
  })
}

function named(type: Type, schema: JsonSchema): Named {
  return [componentName(type), { ...schema, 'x-kubernetes-group-version-kind': [gvkOf(type)] }]
}

function typeProperties({ group, version, kind }: Type): JsonSchema {
  const apiVersion = group === '' ? version : `${group}/${version}`
  return {
    apiVersion: { ...text('Version of the form that it is written in.'), enum: [apiVersion] },
    kind: { ...text('What it is.'), enum: [kind] },
  }
}
