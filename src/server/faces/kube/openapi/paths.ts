// The paths of OpenAPI documents, in v3's words: what can be asked of everything that is served.
import { APPLY, PATCH_TYPES, VIEW_PATCH_TYPES } from '../body.ts'
import { REVIEWS, type ReviewResource } from '../discovery.ts'
import { READ_ONLY, type ReadOnlyResource } from '../read-only/resources.ts'
import { type JsonSchema, rootOf, SERVED, type Served } from '../served.ts'
import { META, ref } from './meta-schemas.ts'
import {
  DELETE_PARAMETERS,
  LIST_PARAMETERS,
  PATCH_PARAMETERS,
  type Parameter,
  pathParameter,
  SELECTION_PARAMETERS,
  WRITE_PARAMETERS,
} from './parameters.ts'
import { componentName, gvkOf } from './schemas.ts'

type Content = Readonly<Record<string, { readonly schema: JsonSchema }>>

export interface Operation {
  readonly description: string
  readonly operationId: string
  readonly tags: readonly string[]
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly required?: true; readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content: Content }>>
  readonly [extension: `x-${string}`]: unknown
}

export const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const
type Method = (typeof METHODS)[number]
export type PathItem = { readonly [M in Method]?: Operation } & { readonly parameters?: readonly Parameter[] }
type Path = readonly [path: string, item: PathItem]

const NAMESPACE = pathParameter('namespace', 'The organization.')
const NAME = pathParameter('name', 'Name of the object.')

/** Everything that is served under `roots`, by path. */
export function pathsOf(roots: readonly string[]): Readonly<Record<string, PathItem>> {
  const isWanted = (each: Pick<Served, 'group' | 'version'>) => roots.includes(rootOf(each))
  return Object.fromEntries([
    ...SERVED.filter(isWanted).flatMap(resourcePaths),
    ...READ_ONLY.filter(isWanted).flatMap(readOnlyPaths),
    ...REVIEWS.filter(isWanted).map(reviewPath),
  ])
}

function resourcePaths(served: Served): Path[] {
  const { kind, plural, namespaced } = served
  const root = rootOf(served)
  const collection = namespaced ? `${root}/namespaces/{namespace}/${plural}` : `${root}/${plural}`
  const object = `${collection}/{name}`
  const above = namespaced ? [NAMESPACE] : []
  const named = { parameters: [...above, NAME] }
  const noun = namespaced ? `Namespaced${kind}` : kind
  const operation = (
    ...given: Parameters<typeof operationOf> extends [unknown, ...infer Rest] ? Rest : never
  ) => operationOf(served, ...given)
  const self = ref(componentName(served))
  const list = ref(`${componentName(served)}List`)
  const status = ref(`${META}.Status`)
  const body = { parameters: WRITE_PARAMETERS, requestBody: { required: true, content: json(self) } } as const
  const patch = {
    parameters: PATCH_PARAMETERS,
    requestBody: { required: true, content: patches(served) },
  } as const
  const options = { content: json(ref(`${META}.DeleteOptions`)) }
  const all = operation('deletecollection', noun, status, {
    parameters: [...DELETE_PARAMETERS, ...SELECTION_PARAMETERS],
    requestBody: options,
  })
  return [
    ...(namespaced
      ? [
          [
            `${root}/${plural}`,
            { get: operation('list', `${kind}ForAllNamespaces`, list, { parameters: LIST_PARAMETERS }) },
          ] as const,
        ]
      : []),
    [
      collection,
      {
        ...(namespaced ? { parameters: above } : {}),
        get: operation('list', noun, list, { parameters: LIST_PARAMETERS }),
        post: operation('post', noun, self, body, '201'),
        ...(served.verbs.includes('deletecollection') ? { delete: all } : {}),
      },
    ],
    [
      object,
      {
        ...named,
        get: operation('get', noun, self),
        put: operation('put', noun, self, body),
        patch: operation('patch', noun, self, patch),
        delete: operation('delete', noun, self, { parameters: DELETE_PARAMETERS, requestBody: options }),
      },
    ],
    ...(served.hasStatus
      ? [
          [
            `${object}/status`,
            {
              ...named,
              get: operation('get', `${noun}Status`, self),
              put: operation('put', `${noun}Status`, self, body),
              patch: operation('patch', `${noun}Status`, self, patch),
            },
          ] as const,
        ]
      : []),
  ]
}

function readOnlyPaths(resource: ReadOnlyResource): Path[] {
  const { kind, plural, namespaced } = resource
  const root = rootOf(resource)
  const collection = namespaced ? `${root}/namespaces/{namespace}/${plural}` : `${root}/${plural}`
  const noun = namespaced ? `Namespaced${kind}` : kind
  const self = componentName(resource)
  const above = namespaced ? [NAMESPACE] : []
  return [
    [collection, { parameters: above, get: operationOf(resource, 'list', noun, ref(`${self}List`)) }],
    [
      `${collection}/{name}`,
      { parameters: [...above, NAME], get: operationOf(resource, 'get', noun, ref(self)) },
    ],
  ]
}

function reviewPath(review: ReviewResource): Path {
  const self = ref(componentName(review))
  const given = { requestBody: { required: true, content: json(self) } } as const
  return [
    `${rootOf(review)}/${review.plural}`,
    { post: operationOf(review, 'post', review.kind, self, given, '201') },
  ]
}

const WORDS: Readonly<Record<string, string>> = {
  list: 'list',
  get: 'read',
  post: 'create',
  put: 'replace',
  patch: 'patch',
  delete: 'delete',
  deletecollection: 'deleteCollection',
}

function operationOf(
  of: Pick<Served, 'group' | 'version' | 'kind' | 'description'>,
  action: string,
  noun: string,
  answer: JsonSchema,
  more: Pick<Operation, 'parameters' | 'requestBody'> = {},
  code = '200',
): Operation {
  const group = of.group === '' ? 'core' : of.group.replace(/\.k8s\.io$/, '')
  const words = [...group.split('.'), of.version]
  const scope = words.map(word => `${word[0]!.toUpperCase()}${word.slice(1)}`).join('')
  return {
    description: of.description,
    operationId: `${WORDS[action]}${scope}${noun}`,
    tags: [`${scope[0]!.toLowerCase()}${scope.slice(1)}`],
    ...more,
    responses: { [code]: { description: 'Done.', content: json(answer) } },
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': gvkOf(of),
  }
}

function json(schema: JsonSchema): Content {
  return { 'application/json': { schema } }
}

function patches(served: Served): Content {
  const types = [...Object.keys(served.isBuiltIn ? VIEW_PATCH_TYPES : PATCH_TYPES), APPLY]
  return Object.fromEntries(types.map(type => [type, { schema: ref(`${META}.Patch`) }]))
}
