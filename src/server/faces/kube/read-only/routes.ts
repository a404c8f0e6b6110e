// Reading what is not stored. Selectors and pages are not looked at: there is little to choose from.
import type { FastifyRequest } from 'fastify'
import { apiVersionOf, qualifiedName } from '../../../../api/kinds/kind-names.ts'
import { Fault } from '../../../../lib/fault.ts'
import { rootOf } from '../served.ts'
import { READ_ONLY, type ReadOnlyResource } from './resources.ts'

export function registerReadOnly(
  serve: (url: string, get: (request: FastifyRequest) => object) => void,
): void {
  for (const resource of READ_ONLY) {
    const { plural, namespaced } = resource
    const root = rootOf(resource)
    const collection = namespaced ? `${root}/namespaces/:namespace/${plural}` : `${root}/${plural}`
    if (namespaced) serve(`${root}/${plural}`, request => listOf(resource, request))
    serve(collection, request => listOf(resource, request))
    serve(`${collection}/:name`, request => objectOf(resource, request))
  }
}

function listOf({ kind, plural, objects, ...type }: ReadOnlyResource, request: FastifyRequest): object {
  const { watch } = request.query as { watch?: unknown }
  if (watch === 'true' || watch === '1')
    throw new Fault('method_not_allowed', 'read-only-watch', `watch ${plural}: they never change`)
  return {
    apiVersion: apiVersionOf(type),
    kind: `${kind}List`,
    metadata: { resourceVersion: '1' },
    items: objects(),
  }
}

function objectOf(resource: ReadOnlyResource, request: FastifyRequest): object {
  const { name } = request.params as { name: string }
  const found = resource
    .objects()
    .find(each => (each as { metadata: { name: string } }).metadata.name === name)
  if (found !== undefined) return found
  const { plural, group } = resource
  const message = `${qualifiedName(resource)} "${name}" not found`
  throw new Fault('not_found', 'object-not-found', message, { object: { kind: plural, group, name } })
}
