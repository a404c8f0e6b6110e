// An API server over loopback, in front of a database of its own, with a few principals.
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { SignJWT } from 'jose'
import type { Resource } from '../../src/api/resource.ts'
import type { UserRole } from '../../src/core/credentials.ts'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import { type Log, silentLog } from '../../src/lib/log.ts'
import { hashSecret } from '../../src/server/authentication.ts'
import { type ApiServer, createServer } from '../../src/server/create-server.ts'
import { loadPki, type Pki } from '../../src/server/pki/load-pki.ts'
import { type TestDatabase, testDatabase } from './postgres.ts'

export const ROOT = '/apis/bothy.dev/v1alpha1'
/** Path of a collection in the namespace `default`, or of one object in it. */
export const pathOf = (plural: string, name?: string): string =>
  `${ROOT}/namespaces/default/${plural}${name === undefined ? '' : `/${name}`}`

export type Json = any

/** For `Accept`, as kubectl asks. */
export const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' }
export const MERGE = { 'content-type': 'application/merge-patch+json' }
export const JSON_PATCH = { 'content-type': 'application/json-patch+json' }
export const APPLY = { 'content-type': 'application/apply-patch+yaml' }

/** A manifest. */
export const environment = (name: string, more: Json = {}): Json => ({
  apiVersion: 'bothy.dev/v1alpha1',
  kind: 'Environment',
  metadata: { name, ...more.metadata },
  spec: more.spec ?? {},
})

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly text: string
  readonly body: Json
}

export interface CallOptions {
  readonly token?: string | undefined
  /** Sent as JSON unless it is a string already. */
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

export interface ServerFixture {
  readonly database: TestDatabase
  readonly pki: Pki
  readonly dir: string
  readonly tokens: Readonly<Record<'admin' | 'ada' | 'bob' | 'eve', string>>
  url(): string
  /** A user's token. */
  addUser(name: string, role: UserRole): Promise<string>
  /** A Runner with keys; the function makes a bearer token of it. */
  addRunner(name: string): Promise<TestRunner>
  call(method: string, path: string, options?: CallOptions): Promise<Answer>
  /** The answer as it comes, for watches. */
  open(path: string, options?: CallOptions): Promise<IncomingMessage>
  /** Ends the server and starts another one on the same port. */
  restart(): Promise<void>
  close(): Promise<void>
}

export interface TestRunner {
  readonly resource: Resource<'Runner'>
  token(claims?: { aud?: string; iat?: number; exp?: number; iss?: string }): Promise<string>
}

export interface FixtureOptions {
  readonly clock?: Clock
  readonly log?: Log
}

export async function startServer(options: FixtureOptions = {}): Promise<ServerFixture> {
  const clock = options.clock ?? systemClock
  const database = await testDatabase()
  const dir = await mkdtemp(join(tmpdir(), 'bothy-server-'))
  const pki = await loadPki(join(dir, 'server'), clock)
  const start = async (port: number): Promise<{ server: ApiServer; url: string }> => {
    const { store, credentials, leases, usage, counts } = database
    const log = options.log ?? silentLog
    const server = createServer({
      store,
      credentials,
      leases,
      usage,
      counts,
      pki,
      clock,
      log,
      version: '0.0.0-test',
    })
    return { server, ...(await server.listen({ host: '127.0.0.1', port })) }
  }
  const addUser = async (name: string, role: UserRole) => {
    const token = `bothy_${randomBytes(32).toString('base64url')}`
    await database.credentials.putUserToken({ name, role }, hashSecret(token))
    return token
  }
  await database.store.create({ kind: 'Organization', metadata: { name: 'default' }, spec: {} })
  let running = await start(0)

  const open = (path: string, { token, body, headers }: CallOptions = {}, method = 'GET') =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const content = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
      const outgoing = request(new URL(path, running.url), {
        method,
        ca: pki.ca,
        agent: false,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(content === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) }),
          ...headers,
        },
      })
      outgoing.once('response', resolve)
      outgoing.once('error', reject)
      outgoing.end(content)
    })

  return {
    database,
    pki,
    dir,
    tokens: {
      admin: await addUser('root', 'admin'),
      ada: await addUser('ada', 'member'),
      bob: await addUser('bob', 'member'),
      eve: await addUser('eve', 'viewer'),
    },
    url: () => running.url,
    addUser,
    addRunner: name => addRunner(database, clock, name),
    call: async (method, path, call) => {
      const answer = await open(path, call, method)
      const said = await text(answer)
      const isJson = (answer.headers['content-type'] ?? '').startsWith('application/json')
      return {
        status: answer.statusCode ?? 0,
        headers: answer.headers,
        text: said,
        // A watch's answer is lines of JSON, which no one value is.
        body: isJson && !/\}\n\{/.test(said) ? JSON.parse(said) : undefined,
      }
    },
    open,
    restart: async () => {
      await running.server.close()
      running = await start(Number(new URL(running.url).port))
    },
    close: async () => {
      await running.server.close()
      await database.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function addRunner(
  { store, credentials }: TestDatabase,
  clock: Clock,
  name: string,
): Promise<TestRunner> {
  const metadata = { name, namespace: 'default' }
  const resource = await store.create({ kind: 'Runner', metadata, spec: { cordoned: false } })
  const { uid } = resource.metadata
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const signingKey = JSON.stringify(publicKey.export({ format: 'jwk' }))
  const secret = randomBytes(32).toString('base64url')
  await credentials.putEnrollmentToken({
    hash: hashSecret(secret),
    runnerUid: uid,
    namespace: 'default',
    name,
    expiresAtMs: clock.now() + 60_000,
  })
  await credentials.redeemEnrollment(hashSecret(secret), { signingKey, sealingKey: '{}' }, clock.now())
  return {
    resource,
    token: async (claims = {}) => {
      const now = Math.floor(clock.now() / 1000)
      return new SignJWT({})
        .setProtectedHeader({ alg: 'EdDSA' })
        .setIssuer(claims.iss ?? `runner:${uid}`)
        .setAudience(claims.aud ?? 'bothy-server')
        .setIssuedAt(claims.iat ?? now)
        .setExpirationTime(claims.exp ?? now + 300)
        .sign(privateKey)
    },
  }
}

/** Lines of a watch, parsed, one by one as they come; the second function ends it. */
export function events(answer: IncomingMessage): { next(): Promise<Json>; end(): void } {
  const lines = parseLines(answer)
  return {
    next: async () => (await lines.next()).value,
    end: () => answer.destroy(),
  }
}

async function* parseLines(answer: IncomingMessage): AsyncGenerator<Json> {
  let rest = ''
  for await (const chunk of answer) {
    const parts = (rest + String(chunk)).split('\n')
    rest = parts.pop() ?? ''
    for (const part of parts) yield JSON.parse(part)
  }
}
