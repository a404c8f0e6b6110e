import type { z } from 'zod'
import type { FieldCause } from '../../lib/fault.ts'
import type { KindNames } from './kind-names.ts'

/**
 * One printer column: what `get` shows. `path` is dotted (`.status.phase`) and of the stored object; `wide` columns show
 * with `-o wide` only. A `reference` names an object and is shown as `environment/calm-otter`.
 */
export interface Column {
  readonly name: string
  readonly type: 'string' | 'integer' | 'date' | 'reference'
  readonly path: string
  readonly description: string
  readonly wide?: boolean
}

/** What may be done with objects of a kind over the network. */
export type ApiVerb = 'create' | 'delete' | 'deletecollection' | 'get' | 'list' | 'patch' | 'update' | 'watch'

/** How a kind is written on the wire, if not as `{apiVersion, kind, metadata, spec, status}`. */
export interface WireForm {
  /** Everything but apiVersion, kind and metadata. */
  toWire(object: { readonly spec: unknown; readonly status: unknown }): Readonly<Record<string, unknown>>
  /**
   * The `spec` and `status` that these fields say; unparsed. `before`: what is stored, for forms that do not show all
   * of it.
   */
  toStored(
    fields: Readonly<Record<string, unknown>>,
    before?: { readonly spec: unknown; readonly status: unknown },
  ): { readonly spec: unknown; readonly status: unknown }
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
  /** What every object is held by from its creation on, until the kind's own controller lets it go. */
  readonly finalizers?: readonly string[]
  /** Dotted paths that never change after creation, e.g. `spec.content`. */
  readonly immutable: readonly string[]
  /** Dotted paths that may be set once, from absent, and never change afterwards, e.g. `spec.runner`. */
  readonly setOnce: readonly string[]
  /** Dotted paths of sizes that are never lowered, e.g. `spec.disk`. */
  readonly grows?: readonly string[]
  /** What is wrong with the object as a whole, in a namespace ('' for cluster-wide kinds), beyond what the schema sees. */
  check?(namespace: string, spec: Spec): readonly FieldCause[]
  /** Dotted paths that a fieldSelector may name, besides metadata.name and metadata.namespace. */
  readonly selectable: readonly string[]
  /** Nobody keeps account of whose each field is: there are many objects, each written by one writer. */
  readonly untracked?: boolean
  /**
   * Names that stand for several kinds at once. `all` is for what people make and unmake every day, and nothing else:
   * `kubectl delete all --all` deletes it.
   */
  readonly categories?: readonly string[]
  /** The columns are all of the table: it shows no names first. */
  readonly nameless?: boolean
  /** Actions that are no state, e.g. `exec`; each is POSTed to `…/NAME/<action>`. */
  readonly actions: readonly string[]
  /** What can be read of each besides itself, and is not stored with it: GET `…/NAME/<part>`. */
  readonly reads?: readonly string[]
}
