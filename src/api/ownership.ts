// Who an object belongs to, and what holds it.
import type { Draft, Key, Resource } from './resource.ts'

/** Name of the user who created an object; set by the server, never changed. */
export const OWNER_ANNOTATION = 'bothy.dev/owner'
/** A runner's claim on an object: there is, or may be, something on its host. */
export const RUNNER_FINALIZER = 'bothy.dev/runner'

export function ownerOf(object: Resource | Draft | undefined): string | undefined {
  return object?.metadata.annotations?.[OWNER_ANNOTATION]
}

/**
 * May `copy` have what is on the disk of `source`? Only if both belong to the same user: a copy is as good as a visit, and
 * nobody else enters an environment, administrators included.
 */
export function mayCopy(source: Resource, copy: Resource | Draft): boolean {
  const owner = ownerOf(source)
  return owner !== undefined && owner === ownerOf(copy)
}

/** Whose disk an Environment begins with, or a Snapshot keeps; undefined: nobody's. */
export function sourceKey(object: Resource | Draft): Key<'Environment' | 'Snapshot'> | undefined {
  const { namespace = '' } = object.metadata
  if (object.kind === 'Snapshot') {
    const { spec } = object as Draft<'Snapshot'>
    return { kind: 'Environment', namespace, name: spec.environment }
  }
  if (object.kind !== 'Environment') return undefined
  const { snapshot, environment } = (object as Draft<'Environment'>).spec.content
  if (snapshot !== undefined) return { kind: 'Snapshot', namespace, name: snapshot.name }
  return environment && { kind: 'Environment', namespace, name: environment.name }
}
