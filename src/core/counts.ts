import type { Kind } from '../api/resource.ts'

/** How many objects there are, without reading them. */
export interface Counts {
  /** By the text at a path of the stored object, e.g. `['status', 'phase']`; '' where there is none. */
  count(kind: Kind, by: readonly string[]): Promise<ReadonlyMap<string, number>>
}
