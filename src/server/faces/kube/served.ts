// What is served, and under which names. Routes, discovery, OpenAPI and tables all follow from this list, and the list
// follows from the registry of kinds.
//
//   native   each kind under its own name
//   views    some kinds a second time, under the name and in the form that Kubernetes' clients know them by
import { z } from 'zod'
import { coreEventWire } from '../../../api/kinds/event-wire.ts'
import type { ApiVerb, Column, KindDefinition, WireForm } from '../../../api/kinds/kind.ts'
import { apiVersionOf, GROUP, type KindNames } from '../../../api/kinds/kind-names.ts'
import { KINDS } from '../../../api/kinds/registry.ts'
import { WIRE_FORMS } from '../../../api/kinds/wire-forms.ts'
import type { Kind, Resource } from '../../../api/resource.ts'
import { CORE_EVENT_SCHEMA, EVENT_SCHEMA } from './views/event-schema.ts'
import { NAMESPACE_COLUMNS, NAMESPACE_SCHEMA, namespaceWire } from './views/namespace.ts'

export type JsonSchema = Readonly<Record<string, unknown>>

/** One resource of the API. */
export interface Served extends KindNames {
  readonly apiVersion: string
  readonly description: string
  /** The kind that is stored. */
  readonly stored: Kind
  /** A second name of a kind: its objects' own name is another one. */
  readonly isView: boolean
  /** One of Kubernetes' own: its clients have it compiled in. */
  readonly isBuiltIn: boolean
  readonly categories: readonly string[]
  readonly verbs: readonly ApiVerb[]
  readonly hasStatus: boolean
  readonly actions: readonly string[]
  readonly reads: readonly string[]
  /** Of the stored object. */
  readonly columns: readonly Column[]
  readonly nameless: boolean
  /** Fields that a selector may name, and where they are in the stored object. */
  readonly selectable: ReadonlyMap<string, string>
  /** Absent: written as it is stored. */
  readonly wire: WireForm | undefined
  /** Top-level properties besides apiVersion, kind and metadata, as JSON schemas. Made when asked for. */
  readonly properties: () => Readonly<Record<string, JsonSchema>>
}

const ALL_VERBS: readonly ApiVerb[] = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
]
const META_FIELDS = ['metadata.name', 'metadata.namespace'] as const

/** Every resource; native ones first. */
export const SERVED: readonly Served[] = [...(Object.keys(KINDS) as Kind[]).map(native), ...views()]

/** `/apis/GROUP/VERSION`, or `/api/v1` for the core group. */
export function rootOf({ group, version }: Pick<Served, 'group' | 'version'>): string {
  return group === '' ? `/api/${version}` : `/apis/${group}/${version}`
}

/** The object as clients of `served` see it. */
export function toWire(served: Served, object: Resource): Resource {
  const { wire, apiVersion, kind } = served
  if (wire === undefined) return object
  // `spec` and `status` are whatever the form makes of them; nobody below this point looks.
  return { apiVersion, kind, metadata: object.metadata, ...wire.toWire(object) } as unknown as Resource
}

function native(kind: Kind): Served {
  const definition = KINDS[kind] as KindDefinition<unknown, unknown>
  const { group, version, plural, singular, shortNames, namespaced, description, selectable } = definition
  const wire = WIRE_FORMS[kind]
  const isEvent = kind === 'Event'
  return {
    group,
    version,
    apiVersion: apiVersionOf(definition),
    kind,
    plural,
    singular,
    shortNames,
    namespaced,
    description,
    stored: kind,
    isView: false,
    isBuiltIn: definition.group !== GROUP,
    categories: definition.categories ?? [],
    // As Kubernetes has it for namespaces: so much goes with each that they are deleted one by one.
    verbs: kind === 'Organization' ? ALL_VERBS.filter(verb => verb !== 'deletecollection') : ALL_VERBS,
    hasStatus: wire === undefined,
    actions: definition.actions,
    reads: definition.reads ?? [],
    columns: definition.columns,
    nameless: definition.nameless === true,
    selectable: isEvent
      ? eventFields('regarding', 'reportingController')
      : fieldMap([...META_FIELDS, ...selectable].map(path => [path, path])),
    wire,
    properties: () =>
      isEvent
        ? EVENT_SCHEMA
        : {
            spec: { description: 'What is wanted.', ...schemaOf(definition.spec) },
            status: { description: 'What is. Written by the system.', ...schemaOf(definition.status) },
          },
  }
}

function views(): readonly Served[] {
  const core = {
    group: '',
    version: 'v1',
    apiVersion: 'v1',
    isView: true,
    isBuiltIn: true,
    categories: [],
    actions: [],
    reads: [],
  }
  const event = native('Event')
  const organization = native('Organization')
  return [
    {
      ...event,
      ...core,
      selectable: eventFields('involvedObject', 'reportingComponent', 'source'),
      wire: coreEventWire,
      properties: () => CORE_EVENT_SCHEMA,
    },
    {
      ...organization,
      ...core,
      kind: 'Namespace',
      plural: 'namespaces',
      singular: 'namespace',
      shortNames: ['ns'],
      description: 'An Organization, as Kubernetes tools know it.',
      columns: NAMESPACE_COLUMNS,
      wire: namespaceWire,
      properties: () => NAMESPACE_SCHEMA,
    },
  ]
}

function eventFields(regarding: string, ...reporters: readonly string[]): ReadonlyMap<string, string> {
  const parts = ['apiVersion', 'kind', 'namespace', 'name', 'uid', 'resourceVersion', 'fieldPath']
  return fieldMap([
    ...META_FIELDS.map(path => [path, path] as const),
    ...parts.map(part => [`${regarding}.${part}`, `spec.regarding.${part}`] as const),
    ['reason', 'spec.reason'],
    ['type', 'spec.type'],
    ...reporters.map(field => [field, 'spec.reportingController'] as const),
  ])
}

function fieldMap(entries: readonly (readonly [string, string])[]): ReadonlyMap<string, string> {
  return new Map(entries)
}

function schemaOf(schema: z.ZodType): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, {
    target: 'openapi-3.0',
    io: 'input',
    unrepresentable: 'any',
  })
  return rest
}
