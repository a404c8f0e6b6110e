// The Kubernetes face: the same routes for everything that is served.
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import type { Key, Kind } from '../../../api/resource.ts'
import type { Part } from '../../../core/store.ts'
import type { Clock } from '../../../lib/clock.ts'
import { Fault } from '../../../lib/fault.ts'
import type { Log } from '../../../lib/log.ts'
import type { Access } from '../../access.ts'
import { pathOf } from '../../http.ts'
import { chooseForm } from './accept.ts'
import { type Rendering, renderList, renderObject } from './answers.ts'
import { applyObject, applyOptions, refuseForce } from './apply.ts'
import {
  isApply,
  PATCH_TYPES,
  parseAppliedBody,
  parseObjectBody,
  parsePatchBody,
  VIEW_PATCH_TYPES,
} from './body.ts'
import { deleteCollection } from './delete-collection.ts'
import { parseDeleteOptions } from './delete-options.ts'
import { registerDiscovery } from './discovery-routes.ts'
import { answerList } from './list.ts'
import { checkListOptions } from './list-options.ts'
import type { Target } from './parse-object.ts'
import { dryRun, fieldManager, fieldValidation, flag, includeObject, type Query } from './query.ts'
import { registerReadOnly } from './read-only/routes.ts'
import { registerReviews } from './reviews/routes.ts'
import { rootOf, SERVED, type Served } from './served.ts'
import { seenAs } from './views/faults.ts'
import { warningHeaders } from './warnings.ts'
import { serveWatch } from './watch.ts'
import {
  createObject,
  deleteObject,
  keyOf as keyOfTarget,
  type ObjectTarget,
  patchObject,
  replaceObject,
  type Write,
  type Written,
} from './write.ts'

export interface KubeFaceDeps {
  readonly clock: Clock
  readonly log: Log
  readonly version: string
  /** The store as the principal of this request may use it. */
  readonly accessOf: (request: FastifyRequest) => Access
  /** Aborts when the server closes; ends watches. */
  readonly closing: AbortSignal
  /** Called with each watch that opens, by the resource's plural; what it returns, when that ends. */
  readonly onWatch: (resource: string) => () => void
}

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown
/** By method. */
type Handlers = Readonly<Partial<Record<string, Handler>>>
const METHODS: readonly HTTPMethods[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS']

export function registerKubeFace(app: FastifyInstance, deps: KubeFaceDeps): void {
  registerDiscovery(app, deps.version)
  const { clock, closing } = deps
  registerReadOnly({ clock, closing, queryOf }, (url, get) => serve(app, url, { GET: get }))
  registerReviews(deps.accessOf, (url, post) =>
    serve(app, url, { POST: async (request, reply) => reply.code(201).send(await post(request)) }),
  )
  for (const served of SERVED) registerResource(app, deps, served)
}

function registerResource(app: FastifyInstance, deps: KubeFaceDeps, served: Served): void {
  const { plural, namespaced } = served
  const root = rootOf(served)
  const collection = namespaced ? `${root}/namespaces/:namespace/${plural}` : `${root}/${plural}`
  const object = `${collection}/:name`
  const targetOf = (request: FastifyRequest): Target => ({ served, namespace: namespaceOf(request) ?? '' })
  const objectOf = (request: FastifyRequest): ObjectTarget => {
    const { name } = request.params as { name: string }
    return { ...targetOf(request), name: parseSegment('name', name) }
  }

  const list: Handler = async (request, reply) => {
    const query = queryOf(request)
    const rendering = renderingOf(request, query, deps.clock)
    const namespace = namespaced ? namespaceOf(request) : undefined
    const access = deps.accessOf(request)
    checkListOptions(query)
    if (flag(query, 'watch')) {
      const { clock, log, closing } = deps
      const onOpen = () => {
        reply.hijack()
        reply.raw.once('close', deps.onWatch(served.plural))
      }
      const watch = { access, served, namespace, query, rendering, clock, log, closing, onOpen }
      return serveWatch(watch, reply.raw)
    }
    void reply.type('application/json; charset=utf-8')
    return answerList(access, served, namespace, query, rendering)
  }
  const create: Handler = async (request, reply) => {
    const query = queryOf(request)
    const rendering = renderingOf(request, query, deps.clock)
    const body = parseObjectBody(request.headers['content-type'], bodyOf(request))
    const written = await createObject(writeOf(deps, request, query), targetOf(request), body)
    return sendWritten(reply.code(201), served, written, rendering)
  }
  const get: Handler = async request => {
    const rendering = renderingOf(request, queryOf(request), deps.clock)
    const found = await deps.accessOf(request).get(keyOfTarget(objectOf(request)))
    return renderObject(served, found, rendering)
  }
  const replace =
    (part: Part): Handler =>
    async (request, reply) => {
      const query = queryOf(request)
      const rendering = renderingOf(request, query, deps.clock)
      const body = parseObjectBody(request.headers['content-type'], bodyOf(request))
      const write = writeOf(deps, request, query)
      const written = await replaceObject(write, objectOf(request), part, body)
      return sendWritten(reply, served, written, rendering)
    }
  const patch =
    (part: Part): Handler =>
    async (request, reply) => {
      const query = queryOf(request)
      const rendering = renderingOf(request, query, deps.clock)
      if (isApply(request.headers['content-type'])) {
        const config = parseAppliedBody(bodyOf(request))
        const write = { ...writeOf(deps, request, query), ...applyOptions(query), clock: deps.clock }
        const written = await applyObject(write, objectOf(request), part, config)
        return sendWritten(reply.code(written.created ? 201 : 200), served, written, rendering)
      }
      refuseForce(query)
      const types = served.isBuiltIn ? VIEW_PATCH_TYPES : PATCH_TYPES
      const body = parsePatchBody(request.headers['content-type'], bodyOf(request), types)
      const write = writeOf(deps, request, query)
      return sendWritten(reply, served, await patchObject(write, objectOf(request), part, body), rendering)
    }
  const remove: Handler = async request => {
    const query = queryOf(request)
    const rendering = renderingOf(request, query, deps.clock)
    const options = parseDeleteOptions(request.headers['content-type'], bodyOf(request), query)
    const write = { access: deps.accessOf(request), dryRun: options.dryRun }
    // The object itself, not a bare Status: it says whether it is gone or waits for its finalizers.
    return renderObject(served, await deleteObject(write, objectOf(request), options.removal), rendering)
  }

  const removeAll: Handler = async request => {
    const query = queryOf(request)
    const rendering = renderingOf(request, query, deps.clock)
    const options = parseDeleteOptions(request.headers['content-type'], bodyOf(request), query)
    checkListOptions(query)
    const namespace = namespaced ? namespaceOf(request) : undefined
    const { items, meta } = await deleteCollection(deps.accessOf(request), served, namespace, query, options)
    return renderList(served, items, meta, rendering)
  }

  const route = (url: string, handlers: Handlers) =>
    serve(app, url, served.isView ? inItsWords(served, handlers) : handlers)
  const hasCollectionDelete = served.verbs.includes('deletecollection')
  if (namespaced) route(`${root}/${plural}`, { GET: list })
  route(collection, { GET: list, POST: create, ...(hasCollectionDelete ? { DELETE: removeAll } : {}) })
  route(object, { GET: get, PUT: replace('main'), PATCH: patch('main'), DELETE: remove })
  if (served.hasStatus)
    route(`${object}/status`, { GET: get, PUT: replace('status'), PATCH: patch('status') })
}

function inItsWords(served: Served, handlers: Handlers): Handlers {
  const told =
    (handler: Handler): Handler =>
    async (request, reply) => {
      try {
        return await handler(request, reply)
      } catch (error) {
        throw seenAs(served, error)
      }
    }
  return Object.fromEntries(Object.entries(handlers).map(([method, each]) => [method, each && told(each)]))
}

/** Routes of one path; other methods are answered with 405. */
export function serve(app: FastifyInstance, url: string, handlers: Handlers): void {
  for (const method of METHODS) {
    const handler = handlers[method]
    const refuse: Handler = request => {
      const message = `${request.method} ${pathOf(request)}: this path takes ${Object.keys(handlers).join(', ')}`
      throw new Fault('method_not_allowed', 'method-not-allowed', message)
    }
    app.route({ method, url, handler: handler ?? refuse })
  }
}

/** Faults with `malformed` when the path holds no names. */
export function keyOf<K extends Kind>(request: FastifyRequest, kind: K): Key<K> {
  const { name } = request.params as { name: string }
  return { kind, namespace: namespaceOf(request) ?? '', name: parseSegment('name', name) }
}

function namespaceOf(request: FastifyRequest): string | undefined {
  const { namespace } = request.params as { namespace?: string }
  return namespace === undefined ? undefined : parseSegment('namespace', namespace)
}

/** What cannot be one step of a path. Whatever else is no name either is one that nothing has: not found, as it is. */
const NO_SEGMENT = /[/%\p{Cc}]|^\.{0,2}$/u

function parseSegment(what: string, value: string): string {
  if (!NO_SEGMENT.test(value)) return value
  const hint = "names are lower-case letters, digits and '-'"
  const shown = JSON.stringify(value.slice(0, 80))
  throw new Fault('malformed', 'path-malformed', `read the path: ${shown} is no ${what}`, { hint })
}

function queryOf(request: FastifyRequest): Query {
  const at = request.url.indexOf('?')
  return new URLSearchParams(at === -1 ? '' : request.url.slice(at + 1))
}

function bodyOf(request: FastifyRequest): Buffer | undefined {
  return request.body as Buffer | undefined
}

function renderingOf(request: FastifyRequest, query: Query, clock: Clock): Rendering {
  return { form: chooseForm(request.headers.accept), include: includeObject(query), nowMs: clock.now() }
}

function writeOf(deps: KubeFaceDeps, request: FastifyRequest, query: Query): Write {
  return {
    access: deps.accessOf(request),
    mode: fieldValidation(query),
    dryRun: dryRun(query),
    by: { manager: fieldManager(query, request.headers['user-agent']) },
  }
}

function sendWritten(
  reply: FastifyReply,
  served: Served,
  written: Written,
  rendering: Rendering,
): FastifyReply {
  if (written.warnings.length > 0) void reply.header('warning', warningHeaders(written.warnings))
  return reply.send(renderObject(served, written.object, rendering))
}
