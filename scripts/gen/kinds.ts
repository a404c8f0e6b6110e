import { z } from 'zod'
import type { KindDefinition } from '../../src/api/kinds/kind.ts'
import { KINDS } from '../../src/api/kinds/registry.ts'
import { API_VERSION } from '../../src/api/resource.ts'
import { table } from './markdown.ts'

interface Schema {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly additionalProperties?: Schema | boolean
}

/** What every kind's fields mean, from the schemas that validate them. */
export function kindsPage(): string {
  const definitions = Object.values(KINDS) as KindDefinition<unknown, unknown>[]
  return [
    '# Kinds',
    `Group and version: \`${API_VERSION}\`. Metadata follows Kubernetes' conventions.`,
    ...definitions.map(describeKind),
  ].join('\n\n')
}

function describeKind(kind: KindDefinition<unknown, unknown>): string {
  const names = [kind.plural, kind.singular, ...kind.shortNames].map(name => `\`${name}\``).join(', ')
  const paths = (list: readonly string[]) => list.map(path => `\`${path}\``).join(', ') || 'none'
  return [
    `## ${kind.kind}`,
    kind.description,
    [
      `- Names: ${names}; ${kind.namespaced ? 'namespaced' : 'cluster-wide'}`,
      `- Never change after creation: ${paths(kind.immutable)}; may be set once: ${paths(kind.setOnce)}`,
      `- Field selectors: ${paths(['metadata.name', 'metadata.namespace', ...kind.selectable])}`,
      `- Actions: ${paths(kind.actions)}`,
      ...(kind.reads === undefined ? [] : [`- Read besides: ${paths(kind.reads)}`]),
    ].join('\n'),
    fields('spec', kind.spec),
    fields('status', kind.status),
  ].join('\n\n')
}

function fields(half: string, schema: z.ZodType): string {
  const rows = rowsOf(half, z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Schema, false)
  return rows.length === 0 ? `No \`${half}\`.` : table(['field', 'type', 'default', 'meaning'], rows)
}

function rowsOf(path: string, schema: Schema, required: boolean): string[][] {
  // Who writes a status is told by its schema; people write specs.
  const unsaid = required && path.startsWith('spec') ? '*required*' : ''
  const row = [
    path,
    typeOf(schema),
    schema.default === undefined ? unsaid : JSON.stringify(schema.default),
    schema.description ?? '',
  ]
  const below = [
    ...Object.entries(schema.properties ?? {}).flatMap(([name, each]) =>
      rowsOf(`${path}.${name}`, each, schema.required?.includes(name) === true),
    ),
    ...(schema.items?.properties === undefined ? [] : rowsOf(`${path}[]`, schema.items, false)),
  ]
  // The two halves themselves, and items that only group their fields, need no row of their own.
  return path.includes('.') && !path.endsWith('[]') ? [row, ...below] : below
}

function typeOf(schema: Schema): string {
  if (schema.enum !== undefined) return schema.enum.join(', ')
  if (schema.items !== undefined) return `list of ${typeOf(schema.items)}`
  if (typeof schema.additionalProperties === 'object') return `map to ${typeOf(schema.additionalProperties)}`
  return schema.type ?? 'any'
}
