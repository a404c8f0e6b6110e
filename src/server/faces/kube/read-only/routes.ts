// Reading what is not stored. Pages are not made: there is little to turn over.
import type { FastifyReply, FastifyRequest } from 'fastify'
import { apiVersionOf, qualifiedName } from '../../../../api/kinds/kind-names.ts'
import type { Resource } from '../../../../api/resource.ts'
import type { Clock } from '../../../../lib/clock.ts'
import { Fault } from '../../../../lib/fault.ts'
import { checkListOptions } from '../list-options.ts'
import { flag, parseSelection, type Query } from '../query.ts'
import { matchesSelectors } from '../selectors.ts'
import { rootOf } from '../served.ts'
import { READ_ONLY, type ReadOnlyResource } from './resources.ts'
import { serveReadOnlyWatch } from './watch.ts'

const SELECTABLE = new Map(['metadata.name', 'metadata.namespace'].map(path => [path, path]))
/** Of a moment as good as any: nothing changes. */
const AT = '1'

export interface ReadOnlyDeps {
  readonly clock: Clock
  /** Aborts when the server closes; ends watches. */
  readonly closing: AbortSignal
  readonly queryOf: (request: FastifyRequest) => Query
}

export function registerReadOnly(
  { clock, closing, queryOf }: ReadOnlyDeps,
  serve: (url: string, get: (request: FastifyRequest, reply: FastifyReply) => unknown) => void,
): void {
  for (const resource of READ_ONLY) {
    const { plural, namespaced } = resource
    const root = rootOf(resource)
    const collection = namespaced ? `${root}/namespaces/:namespace/${plural}` : `${root}/${plural}`
    const list = (request: FastifyRequest, reply: FastifyReply) => {
      const query = queryOf(request)
      checkListOptions(query)
      const objects = selected(resource, query)
      const type = { apiVersion: apiVersionOf(resource), kind: resource.kind }
      if (!flag(query, 'watch'))
        return { ...type, kind: `${type.kind}List`, metadata: { resourceVersion: AT }, items: objects }
      const onOpen = () => void reply.hijack()
      return serveReadOnlyWatch({ query, type, objects, at: AT, clock, closing, onOpen }, reply.raw)
    }
    if (namespaced) serve(`${root}/${plural}`, list)
    serve(collection, list)
    serve(`${collection}/:name`, request => objectOf(resource, request))
  }
}

function selected({ objects }: ReadOnlyResource, query: Query): readonly object[] {
  const { labels, fields } = parseSelection(query, { selectable: SELECTABLE }, undefined)
  return objects().filter(each => matchesSelectors(each as Resource, labels, fields))
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
