import type { z } from 'zod'
import type { KindNames } from './kind-names.ts'

/** One printer column: what `get` shows. `path` is dotted (`.status.phase`); `wide` columns show with `-o wide` only. */
export interface Column {
  readonly name: string
  readonly type: 'string' | 'integer' | 'date'
  readonly path: string
  readonly description: string
  readonly wide?: boolean
}

/**
 * Everything that the API needs to know of a kind. CRUD, watch, validation, discovery, tables and OpenAPI follow from
 * this entry; nothing else in the project names a kind in order to serve it.
 */
export interface KindDefinition<Spec, Status> extends KindNames {
  /** What may be a name. Default: a DNS label. */
  readonly name?: z.ZodType<string>
  readonly description: string
  readonly spec: z.ZodType<Spec>
  readonly status: z.ZodType<Status>
  /** What `status` is before anybody has written it. */
  readonly emptyStatus: Status
  readonly columns: readonly Column[]
  /** Dotted paths that never change after creation, e.g. `spec.content`. */
  readonly immutable: readonly string[]
  /** Dotted paths that may be set once, from absent, and never change afterwards, e.g. `spec.runner`. */
  readonly setOnce: readonly string[]
  /** Dotted paths that a fieldSelector may name, besides metadata.name and metadata.namespace. */
  readonly selectable: readonly string[]
  /** Actions that are no state, e.g. `exec`; each is POSTed to `…/NAME/<action>`. */
  readonly actions: readonly string[]
}
