// OpenAPI v3, made from the kinds' schemas: what `kubectl explain` prints, and what tells kubectl that the server
// validates by itself.
import { createHash } from 'node:crypto'
import { GROUP_VERSIONS } from './discovery.ts'
import { rootOf, SERVED, type Served } from './served.ts'

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1'
const ref = (name: string) => ({ $ref: `#/components/schemas/${name}` })
const text = (description: string) => ({ type: 'string', description })
const texts = (description: string) => ({ type: 'array', items: { type: 'string' }, description })
const textMap = (description: string) => ({
  type: 'object',
  additionalProperties: { type: 'string' },
  description,
})

const metaSchemas = {
  [`${META}.ObjectMeta`]: {
    type: 'object',
    description: 'What all objects have in common.',
    properties: {
      name: text('Name, unique among the objects of its kind in the namespace. Never changes.'),
      generateName: text('Prefix of a name that the server completes, when no name is given.'),
      namespace: text('The organization that it belongs to.'),
      uid: text('Unique for ever. Set by the server.'),
      resourceVersion: text(
        'Changes with every change of the object. A replacement names the one it is meant for.',
      ),
      generation: {
        type: 'integer',
        format: 'int64',
        description: 'Moves when the spec does. Set by the server.',
      },
      creationTimestamp: { ...text('When it was created. Set by the server.'), format: 'date-time' },
      deletionTimestamp: { ...text('When deletion was asked for. Set by the server.'), format: 'date-time' },
      labels: textMap('What it can be selected by.'),
      annotations: textMap('Notes of people and tools.'),
      finalizers: texts('Who has to clean up before it goes.'),
      ownerReferences: {
        type: 'array',
        items: ref(`${META}.OwnerReference`),
        description: 'Objects without which it goes too.',
      },
    },
  },
  [`${META}.OwnerReference`]: {
    type: 'object',
    required: ['apiVersion', 'kind', 'name', 'uid'],
    properties: {
      apiVersion: text('apiVersion of the owner.'),
      kind: text('Kind of the owner.'),
      name: text('Name of the owner.'),
      uid: text('Uid of the owner.'),
      controller: { type: 'boolean', description: 'Is it the one that manages this object?' },
      blockOwnerDeletion: { type: 'boolean', description: 'Does the owner wait for this object to go?' },
    },
  },
  [`${META}.ListMeta`]: {
    type: 'object',
    properties: {
      resourceVersion: text('The list holds every change up to here.'),
      continue: text('Token for the next page.'),
      remainingItemCount: {
        type: 'integer',
        format: 'int64',
        description: 'How many follow on later pages.',
      },
    },
  },
}

/** Everything served under one path, with a hash that changes when it does. */
export interface OpenApiDocument {
  readonly text: string
  readonly hash: string
}

const made = new Map<string, OpenApiDocument>()

/** The document of one group and version. Made when first asked for: nobody else should wait for it. */
export function groupDocument(wanted: Pick<Served, 'group' | 'version'>): OpenApiDocument {
  const root = rootOf(wanted)
  const known = made.get(root)
  if (known !== undefined) return known
  const served = SERVED.filter(each => rootOf(each) === root)
  const text = JSON.stringify({
    openapi: '3.0.0',
    info: { title: 'Bothy', version: wanted.version },
    paths: Object.fromEntries(served.flatMap(pathsOf)),
    components: { schemas: { ...Object.fromEntries(served.flatMap(schemasOf)), ...metaSchemas } },
  })
  const document = { text, hash: createHash('sha256').update(text).digest('hex').slice(0, 32) }
  made.set(root, document)
  return document
}

/** `/openapi/v3`: where the documents are. */
export function openApiIndex(): object {
  const paths = GROUP_VERSIONS.map(each => {
    const root = rootOf(each)
    return [root.slice(1), { serverRelativeURL: `/openapi/v3${root}?hash=${groupDocument(each).hash}` }]
  })
  return { paths: Object.fromEntries(paths) }
}

const schemaName = ({ group, version, kind }: Served) =>
  group === ''
    ? `io.k8s.api.core.${version}.${kind}`
    : `${group.split('.').toReversed().join('.')}.${version}.${kind}`
const gvk = ({ group, version, kind }: Served) => ({ group, version, kind })

function schemasOf(served: Served): [string, object][] {
  const { kind, apiVersion, description } = served
  const head = {
    apiVersion: { ...text('Version of the form that the object is written in.'), enum: [apiVersion] },
    kind: { ...text('Kind of the object.'), enum: [kind] },
  }
  const object = {
    type: 'object',
    description,
    properties: {
      ...head,
      metadata: { ...ref(`${META}.ObjectMeta`) },
      ...served.properties(),
    },
    'x-kubernetes-group-version-kind': [gvk(served)],
  }
  const list = {
    type: 'object',
    description: `A list of ${kind}.`,
    required: ['items'],
    properties: {
      apiVersion: text('Version of the form that the list is written in.'),
      kind: text('Kind of the list.'),
      metadata: ref(`${META}.ListMeta`),
      items: { type: 'array', items: ref(schemaName(served)) },
    },
    'x-kubernetes-group-version-kind': [{ ...gvk(served), kind: `${kind}List` }],
  }
  return [
    [schemaName(served), object],
    [`${schemaName(served)}List`, list],
  ]
}

function pathsOf(served: Served): [string, object][] {
  const { kind, plural, namespaced, description } = served
  const root = rootOf(served)
  const collection = namespaced ? `${root}/namespaces/{namespace}/${plural}` : `${root}/${plural}`
  const parameters = namespaced ? [pathParameter('namespace')] : []
  const operation = (action: string, extra: object = {}) => ({
    description,
    operationId: `${action}${kind}`,
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': gvk(served),
    responses: { '200': { description: 'OK', content: json(ref(schemaName(served))) } },
    ...extra,
  })
  const write = ['dryRun', 'fieldManager', 'fieldValidation'].map(queryParameter)
  const body = { requestBody: { content: json(ref(schemaName(served))) }, parameters: write }
  const patch = {
    requestBody: { content: { 'application/merge-patch+json': {}, 'application/json-patch+json': {} } },
    parameters: write,
  }
  return [
    [collection, { parameters, get: operation('list'), post: operation('post', body) }],
    [
      `${collection}/{name}`,
      {
        parameters: [...parameters, pathParameter('name')],
        get: operation('get'),
        put: operation('put', body),
        patch: operation('patch', patch),
        delete: operation('delete'),
      },
    ],
  ]
}

const json = (schema: object) => ({ 'application/json': { schema } })
const pathParameter = (name: string) => ({ name, in: 'path', required: true, schema: { type: 'string' } })
const queryParameter = (name: string) => ({ name, in: 'query', schema: { type: 'string' } })
