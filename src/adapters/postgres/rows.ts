// Rows as PostgreSQL returns them (bigint as decimal text, jsonb parsed), and what they mean.
import type { Kind, Resource } from '../../api/resource.ts'
import type { Change, Revision } from '../../core/store.ts'

/** A resource without its resourceVersion: what `body` holds. */
export type Body = object

export interface ChangeRow {
  readonly revision: string
  readonly kind: string
  readonly namespace: string
  readonly removed: boolean
  readonly body: Body
  readonly previous_revision: string | null
  readonly previous: Body | null
}

export function toBody(resource: Resource): Body {
  const { resourceVersion: _, ...metadata } = resource.metadata
  return { ...resource, metadata }
}

export function toResource<K extends Kind>(body: Body, revision: Revision): Resource<K> {
  const resource = body as Resource<K>
  return { ...resource, metadata: { ...resource.metadata, resourceVersion: revision } }
}

/** One committed change of any object, parsed once and shared by all watchers. */
export interface FeedEntry {
  readonly revision: bigint
  readonly kind: string
  readonly namespace: string
  readonly removed: boolean
  readonly object: Resource
  readonly previous: Resource | undefined
  /** What it is to watchers that select nothing; made when the first of them asks. */
  change?: Change | undefined
}

export function toFeedEntry(row: ChangeRow): FeedEntry {
  const { revision, kind, namespace, removed, body, previous, previous_revision } = row
  return {
    revision: BigInt(revision),
    kind,
    namespace,
    removed,
    object: toResource(body, revision),
    previous: previous === null ? undefined : toResource(previous, previous_revision ?? '0'),
  }
}
