// The API server: HTTPS, authentication in front of everything that is not public, the faces of the API, the relay.

import type { Server } from 'node:https'
import { hostname, networkInterfaces } from 'node:os'
import { type FastifyInstance, type FastifyRequest, fastify } from 'fastify'
import type { Counts } from '../core/counts.ts'
import type { CredentialStore, LeaseStore } from '../core/credentials.ts'
import type { Store } from '../core/store.ts'
import type { UsageStore } from '../core/usage.ts'
import type { Clock } from '../lib/clock.ts'
import { Fault } from '../lib/fault.ts'
import { uuidv7 } from '../lib/ids.ts'
import type { Log } from '../lib/log.ts'
import { createMetrics } from '../lib/metrics.ts'
import { type Access, access } from './access.ts'
import { advertisedHost, certificateHosts, httpsUrl, reservedHosts } from './addresses.ts'
import { type Authenticator, createAuthenticator, hashSecret } from './authentication.ts'
import { registerEnrollment } from './enrollment.ts'
import { registerEntrances } from './entrances.ts'
import { registerKubeFace } from './faces/kube/routes.ts'
import { installErrorHandling, installLog, principalOf, refusePath } from './http.ts'
import { SERVER_METRICS } from './metrics/definitions.ts'
import { measureStore } from './metrics/measure-store.ts'
import { registerMetrics } from './metrics/register.ts'
import type { Pki } from './pki/load-pki.ts'
import { attachRelay, type Relay } from './relay/relay.ts'
import { registerUsage } from './usage.ts'

const BODY_LIMIT_BYTES = 1 << 20
const CERTIFICATE_CHECK_MS = 12 * 3_600_000
// Longer than clients keep idle connections, so that they close them and never write into one that is closing.
const KEEP_ALIVE_MS = 75_000
const REQUEST_TIMEOUT_MS = 60_000

export interface ServerDeps {
  readonly store: Store
  readonly credentials: CredentialStore
  readonly leases: LeaseStore
  readonly usage: UsageStore
  readonly counts: Counts
  readonly pki: Pki
  readonly clock: Clock
  readonly log: Log
  /** Of Bothy. */
  readonly version: string
}

export interface ListenOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** What others are told, if it is not what is listened on, e.g. `https://bothy.example.com`. */
  readonly publicUrl?: string
}

export interface ApiServer {
  /** Faults with `unavailable`, code `port-taken`, when somebody else has the port. */
  listen(options: ListenOptions): Promise<{ url: string }>
  /** Ends watches and relayed connections, lets requests finish, and returns. */
  close(): Promise<void>
}

export function createServer(deps: ServerDeps): ApiServer {
  const closing = new AbortController()
  let app: FastifyInstance | undefined
  let relay: Relay | undefined
  return {
    listen: async options => {
      const { host, port, publicUrl } = options
      const listening = { host, hostname: hostname(), interfaces: networkInterfaces() }
      const hosts = certificateHosts(listening)
      const publicHost = publicUrl === undefined ? [] : [new URL(publicUrl).hostname.replace(/^\[|\]$/g, '')]
      const names = [...new Set([...hosts, ...publicHost])]
      let url = ''
      const { app: built, authenticator } = await buildApp(deps, {
        names,
        url: () => url,
        closing: closing.signal,
      })
      const server = built.server as unknown as Server
      try {
        await built.listen({ host, port })
      } catch (cause) {
        await built.close()
        throw listenFault(cause, host, port)
      }
      const address = server.address()
      const bound = typeof address === 'object' && address !== null ? address.port : port
      url = publicUrl?.replace(/\/+$/, '') ?? httpsUrl(advertisedHost(listening), bound)
      app = built
      relay = attachRelay(server, { ...deps, authenticator })
      void renewCertificate(deps, server, names, closing.signal)
      deps.log.info({ url }, 'server listening')
      return { url }
    },
    close: async () => {
      closing.abort()
      relay?.close()
      // Idle connections are closed by fastify; what is in a request gets the time that the request needs.
      await app?.close()
    },
  }
}

interface Context {
  readonly names: readonly string[]
  readonly url: () => string
  readonly closing: AbortSignal
}

async function buildApp(
  deps: ServerDeps,
  { names, url, closing }: Context,
): Promise<{ app: FastifyInstance; authenticator: Authenticator }> {
  const { credentials, leases, counts, pki, clock, log, version } = deps
  const metrics = createMetrics(SERVER_METRICS)
  const store = measureStore(deps.store, metrics)
  const { certificate, key } = await pki.serverCertificate(names)
  const app = fastify({
    https: { cert: certificate, key, minVersion: 'TLSv1.2', ALPNProtocols: ['http/1.1'] },
    logger: false,
    trustProxy: false,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    exposeHeadRoutes: false,
    frameworkErrors: refusePath,
    return503OnClosing: true,
    forceCloseConnections: 'idle',
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 253 },
    genReqId: () => uuidv7(clock.now()),
  }) as unknown as FastifyInstance
  const authenticator = createAuthenticator({ credentials, store, clock })

  // Bodies stay bytes: each route says what it takes, and parses strictly.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  installErrorHandling(app, log)
  installLog(app, log)
  app.decorateRequest('principal', null)
  app.addHook('onRequest', async (request, reply) => {
    reply.header('audit-id', request.id)
    if (request.routeOptions.config.public === true) return
    request.principal = await authenticator.authenticate(request.headers.authorization, request.ip)
    refuseImpersonation(request)
  })

  const accessOf = (request: FastifyRequest): Access => access(store, clock, principalOf(request))
  const shared = { ...deps, store, authenticator, accessOf, url }
  registerMetrics(app, { metrics, store, counts, version })
  registerPublic(app, deps)
  registerKubeFace(app, {
    ...{ clock, log, version, accessOf, closing },
    onWatch: resource => {
      metrics.add('bothy_watches', 1, { resource })
      return () => metrics.add('bothy_watches', -1, { resource })
    },
  })
  registerEnrollment(app, { ...shared, leases, reservedHosts: address => reservedHosts(names, address) })
  registerEntrances(app, shared)
  registerUsage(app, shared)
  app.get('/whoami', request => principalOf(request))
  return { app, authenticator }
}

function registerPublic(app: FastifyInstance, { pki, credentials }: ServerDeps): void {
  const open = { config: { public: true } }
  app.get('/ca.pem', open, (_request, reply) =>
    reply.header('content-type', 'application/x-pem-file').send(pki.ca),
  )
  app.get('/.well-known/jwks.json', open, () => pki.jwks)
  for (const path of ['/healthz', '/livez']) app.get(path, open, () => 'ok')
  app.get('/readyz', open, async () => {
    // Any question that the database has to answer; nobody has this hash.
    await credentials.findUser(hashSecret(''))
    return 'ok'
  })
}

/** Whoever asks to act as somebody else and were ignored would act as themselves without noticing. */
function refuseImpersonation(request: FastifyRequest): void {
  const header = Object.keys(request.headers).find(name => name.startsWith('impersonate-'))
  if (header === undefined) return
  throw new Fault(
    'forbidden',
    'impersonation-unsupported',
    `act as somebody else (${header}): not supported`,
    {
      hint: 'use a token of that user',
    },
  )
}

async function renewCertificate(
  { pki, clock, log }: ServerDeps,
  server: Server,
  names: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    try {
      await clock.sleep(CERTIFICATE_CHECK_MS, signal)
    } catch {
      return // Aborted: the server is closing.
    }
    try {
      const { certificate, key } = await pki.serverCertificate(names)
      server.setSecureContext({ cert: certificate, key, minVersion: 'TLSv1.2' })
    } catch (error) {
      // The certificate in use is good for weeks yet; the next attempt may go better.
      log.error({ err: error }, 'server certificate not renewed')
    }
  }
}

function listenFault(cause: unknown, host: string, port: number): Fault {
  const code = (cause as NodeJS.ErrnoException).code
  const where = `listen on ${host} port ${port}`
  if (code === 'EADDRINUSE') {
    const hint = `stop what listens there ('ss -ltnp sport = :${port}' shows it), or choose another port with --listen`
    return new Fault('unavailable', 'port-taken', `${where}: the port is taken`, { cause, hint })
  }
  const hint = 'choose an address of this machine and a port above 1023 with --listen'
  return new Fault('unavailable', 'listen-refused', `${where}: ${code}`, { cause, hint })
}
