import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { chooseDiscovery, chooseOpenApiV2 } from './accept.ts'
import {
  aggregatedContentType,
  aggregatedDiscovery,
  apiGroup,
  apiGroupList,
  apiResourceList,
  apiVersions,
  GROUP_VERSIONS,
  versionInfo,
} from './discovery.ts'
import { document } from './openapi/v2.ts'
import { encodeDocument } from './openapi/v2-protobuf.ts'
import { groupDocument, openApiIndex } from './openapi/v3.ts'
import { rootOf } from './served.ts'

const JSON_TYPE = 'application/json'
// Not as it was asked for: newer clients cannot parse the '@' in it, older ones do not look.
const OPENAPI_V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf'

/** Discovery, OpenAPI and version: the same for everybody, so that clients may keep it (ETag). */
export function registerDiscovery(app: FastifyInstance, version: string): void {
  const discovery =
    (scope: 'core' | 'named', legacy: object) => (request: FastifyRequest, reply: FastifyReply) => {
      const wanted = chooseDiscovery(request.headers.accept)
      void reply.header('vary', 'Accept')
      return wanted === undefined
        ? sendCacheable(request, reply, JSON_TYPE, JSON.stringify(legacy))
        : sendCacheable(
            request,
            reply,
            aggregatedContentType(wanted),
            JSON.stringify(aggregatedDiscovery(scope, wanted)),
          )
    }
  const fixed = (body: () => object) => (request: FastifyRequest, reply: FastifyReply) =>
    sendCacheable(request, reply, JSON_TYPE, JSON.stringify(body()))

  app.get('/api', discovery('core', apiVersions))
  app.get('/apis', discovery('named', apiGroupList))
  for (const each of GROUP_VERSIONS) {
    const root = rootOf(each)
    if (each.group !== '')
      app.get(
        `/apis/${each.group}`,
        fixed(() => apiGroup(each)),
      )
    app.get(
      root,
      fixed(() => apiResourceList(each)),
    )
    app.get(`/openapi/v3${root}`, (request, reply) =>
      sendCacheable(request, reply, JSON_TYPE, groupDocument(each).text),
    )
  }
  app.get('/openapi/v3', fixed(openApiIndex))
  app.get('/openapi/v2', openApiV2(version))
  app.get('/version', { config: { public: true } }, () => versionInfo(version))
}

/** Made when first asked for, once in each form. */
function openApiV2(version: string): (request: FastifyRequest, reply: FastifyReply) => FastifyReply {
  const forms = {
    json: { type: JSON_TYPE, make: () => Buffer.from(JSON.stringify(document(version))) },
    protobuf: { type: OPENAPI_V2_PROTOBUF, make: () => encodeDocument(document(version)) },
  }
  const made: { json?: Buffer; protobuf?: Buffer } = {}
  return (request, reply) => {
    const form = chooseOpenApiV2(request.headers.accept)
    made[form] ??= forms[form].make()
    return sendCacheable(request, reply.header('vary', 'Accept'), forms[form].type, made[form])
  }
}

function sendCacheable(
  request: FastifyRequest,
  reply: FastifyReply,
  type: string,
  body: string | Buffer,
): FastifyReply {
  const etag = `"${createHash('sha256').update(body).digest('hex').slice(0, 32)}"`
  void reply.header('etag', etag).header('cache-control', 'no-cache, private')
  if (request.headers['if-none-match'] === etag) return reply.code(304).send()
  // A buffer, because fastify adds a charset to the type of a string, which strict readers of it do not expect.
  return reply.header('content-type', type).send(Buffer.from(body))
}
