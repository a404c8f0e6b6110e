// What all routes share: who asks, and how an error becomes an answer.
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Fault, isFault, REASONS, toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import { describePrincipal, type Principal } from './principal.ts'
import { statusHeaders, toStatus } from './status.ts'

const MAX_SWALLOWED_BYTES = 32 * 1024 * 1024

declare module 'fastify' {
  interface FastifyRequest {
    principal: Principal | null
  }
  interface FastifyContextConfig {
    /** Asked for without a token. */
    public?: boolean
  }
}

/** Who asks; routes that are not public always know. */
export function principalOf(request: FastifyRequest): Principal {
  if (request.principal !== null) return request.principal
  throw new Fault('internal', 'principal-missing', `${request.method} ${pathOf(request)}: no principal`)
}

/** Faults with `forbidden` unless a runner asks. */
export function runnerOf(request: FastifyRequest): Extract<Principal, { kind: 'runner' }> {
  const principal = principalOf(request)
  if (principal.kind === 'runner') return principal
  const message = `${request.method} ${pathOf(request)}: for runners only`
  throw new Fault('forbidden', 'runners-only', message)
}

/** The path without the query, which says nothing about who may do what but can be long. */
export function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0]!
}

/** An error as everybody outside may see it: what nobody planned for keeps its message to the log. */
export function publicFault(error: unknown, attempt: string, log: Log): Fault {
  const fault = fromFastify(error) ?? toFault(error)
  if (fault.reason !== 'internal') return fault
  log.error({ attempt, err: error }, 'request failed')
  const message = `something went wrong on the server (attempt ${attempt})`
  const hint = `the server's log says more: look for ${attempt}`
  return new Fault('internal', fault.code, message, { hint, ...(isFault(error) ? {} : { cause: error }) })
}

export function installErrorHandling(app: FastifyInstance, log: Log): void {
  app.setErrorHandler((error: unknown, request, reply) => {
    const fault = publicFault(error, request.id, log)
    if (isSwallowed(fault, request)) void reply.removeHeader('connection')
    return sendFault(reply, fault)
  })
  app.setNotFoundHandler((request, reply) => {
    const message = `${request.method} ${pathOf(request)}: the server has no such path`
    return sendFault(reply, new Fault('not_found', 'path-not-found', message))
  })
}

/**
 * Is the rest of a body that is too large read, and dropped? Closing the connection instead, as fastify would, loses the
 * answer more often than not: who is still writing finds a broken pipe and no reason.
 */
function isSwallowed({ code }: Fault, { headers }: FastifyRequest): boolean {
  return code === 'body-too-large' && Number(headers['content-length']) <= MAX_SWALLOWED_BYTES
}

/** What fastify refuses before there is a route: paths that cannot be decoded, and steps that are too long for a name. */
export function refusePath(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const isLong = error.code === 'FST_ERR_MAX_PARAM_LENGTH'
  const shown = `${request.method} ${pathOf(request).slice(0, 200)}`
  const fault = isLong
    ? new Fault('not_found', 'path-not-found', `${shown}: the server has no such path`)
    : new Fault('malformed', 'path-malformed', `${shown}: the path cannot be decoded`)
  void sendFault(reply, fault)
}

export function installLog(app: FastifyInstance, log: Log): void {
  app.addHook('onResponse', (request, reply, done) => {
    const line = {
      attempt: request.id,
      method: request.method,
      path: pathOf(request),
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime * 10) / 10,
      ...(request.principal === null ? {} : { principal: describePrincipal(request.principal) }),
    }
    if (request.method === 'GET') log.debug(line, 'request')
    else log.info(line, 'request')
    done()
  })
}

function sendFault(reply: FastifyReply, fault: Fault): FastifyReply {
  return reply
    .code(REASONS[fault.reason].status)
    .headers(statusHeaders(fault))
    .header('content-type', 'application/json')
    .send(Buffer.from(JSON.stringify(toStatus(fault))))
}

/** The same on a bare socket, for upgrades that are refused. */
export function faultResponse(fault: Fault): string {
  const body = JSON.stringify(toStatus(fault))
  const { status } = REASONS[fault.reason]
  const headers = {
    ...statusHeaders(fault),
    connection: 'close',
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${REASONS[fault.reason].kube}\r\n${lines.join('')}\r\n${body}`
}

/** Fastify's own refusals, by code. */
function fromFastify(error: unknown): Fault | undefined {
  const { code, statusCode, message } = error as Partial<FastifyError>
  if (typeof code !== 'string' || !code.startsWith('FST_')) return undefined
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new Fault('too_large', 'body-too-large', 'read the body: larger than 1 MiB', {
      hint: 'store less in one object',
    })
  if (statusCode === 415)
    return new Fault('unsupported_media_type', 'media-type-unsupported', `read the body: ${message}`, {
      hint: 'name its media type: Content-Type: application/json',
    })
  if (statusCode === 503) return new Fault('unavailable', 'server-closing', 'the server is closing')
  if (statusCode !== undefined && statusCode < 500)
    return new Fault('malformed', 'request-malformed', `read the request: ${message}`)
  return undefined
}
