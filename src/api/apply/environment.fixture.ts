// An environment to write to, in the tests of this folder.
import type { ManagedFieldsEntry } from '../resource.ts'
import { conflictMessage } from './conflicts.ts'
import type { JsonMap } from './json.ts'
import { type ApplyResult, applyConfiguration, trackUpdate } from './managed-fields.ts'
import { objectType } from './object-type.ts'

export const apiVersion = 'bothy.dev/v1alpha1'
const text = { type: 'string' }
const type = objectType({
  spec: {
    type: 'object',
    properties: {
      class: text,
      image: text,
      env: { type: 'object', additionalProperties: text },
      sshKeys: { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
      ports: {
        type: 'array',
        items: {
          type: 'object',
          properties: {
            port: { type: 'integer' },
            protocol: { type: 'string', default: 'TCP' },
            name: text,
          },
        },
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['port', 'protocol'],
      },
    },
  },
  status: { type: 'object', properties: { phase: text, epoch: { type: 'integer' } } },
})

export interface Tracked {
  readonly metadata: {
    readonly managedFields?: readonly ManagedFieldsEntry[]
    readonly [key: string]: unknown
  }
  readonly [key: string]: unknown
}

/** `second` 7 is seven seconds past noon. */
export const at = (second: number): string => `2026-11-20T12:00:${String(second).padStart(2, '0')}Z`

export function environment(spec: JsonMap, metadata: JsonMap = {}, rest: JsonMap = {}): Tracked {
  return { apiVersion, kind: 'Environment', metadata: { name: 'otter', ...metadata }, spec, ...rest }
}

export function create(manager: string, next: Tracked, second = 0): Tracked {
  return trackUpdate({ type, live: undefined, next, manager, apiVersion, now: at(second) })
}

export function update(
  manager: string,
  live: Tracked,
  next: Tracked,
  second: number,
  subresource?: string,
): Tracked {
  return trackUpdate({ type, live, next, manager, subresource, apiVersion, now: at(second) })
}

interface How {
  readonly force?: boolean
  readonly second?: number
  readonly subresource?: string
}

export function apply(
  manager: string,
  live: Tracked | undefined,
  config: JsonMap,
  how: How = {},
): ApplyResult {
  const { second = 30, ...rest } = how
  return applyConfiguration({ type, live, config, manager, apiVersion, now: at(second), ...rest })
}

export function applied(manager: string, live: Tracked | undefined, config: JsonMap, how: How = {}): Tracked {
  const result = apply(manager, live, config, how)
  if (result.outcome === 'conflict') throw new Error(conflictMessage(result.conflicts))
  return result.object as Tracked
}

export function entries(object: Tracked): readonly ManagedFieldsEntry[] {
  return object.metadata.managedFields ?? []
}

export function fieldsOf(object: Tracked, manager: string): JsonMap | undefined {
  return entries(object).find(entry => entry.manager === manager)?.fieldsV1
}
