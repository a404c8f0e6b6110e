// The whole way: a user's client asks the server, the server's relay asks the runner, the runner's gateway serves.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { childExec } from '../../test/support/gateway.ts'
import { type ServerFixture, startServer, type TestRunner } from '../../test/support/server.ts'
import type { Key, Resource } from '../api/resource.ts'
import { keyOf } from '../api/resource.ts'
import { type ApiClient, createClient } from '../client/create-client.ts'
import { openExec } from '../client/open-exec.ts'
import { execContract } from '../core/exec.contract.ts'
import { systemClock } from '../lib/clock.ts'
import { silentLog } from '../lib/log.ts'
import { createGateway, type Gateway } from './create-gateway.ts'
import { runRelay } from './run-relay.ts'

let server: ServerFixture
let client: ApiClient
let runner: TestRunner
let gateway: Gateway
let environment: Resource<'Environment'>
let key: Key
const abort = new AbortController()
let relay: Promise<void>

beforeAll(async () => {
  server = await startServer()
  client = createClient({ server: server.url(), ca: server.pki.ca, credential: () => server.tokens.ada })
  runner = await server.addRunner('far')
  const { store } = server.database
  const made = await client.store.create({
    kind: 'Environment',
    metadata: { name: 'calm', namespace: 'default' },
    spec: { desired: 'Running', class: 'small', content: { empty: {} }, env: {} },
  })
  const bound = await store.update({ ...made, spec: { ...made.spec, runner: 'far' } }, 'main')
  environment = await store.update({ ...bound, status: { ...bound.status, phase: 'Running' } }, 'status')
  key = keyOf(environment)
  gateway = createGateway({
    runnerUid: runner.resource.metadata.uid,
    keys: () => server.pki.jwks.keys,
    backend: {
      exec: async () => childExec,
      receiveContent: async (_uid, stream) => void (await stream.toArray()),
      logs: async () => Promise.reject(new Error('none')),
    },
    log: silentLog,
    clock: systemClock,
  })
  relay = runRelay({
    server: server.url(),
    ca: server.pki.ca,
    credential: () => runner.token(),
    gateway,
    log: silentLog,
    clock: systemClock,
    signal: abort.signal,
  })
  await entered()
})

afterAll(async () => {
  abort.abort()
  await relay
  await gateway.close()
  await client.close()
  await server.close()
})

/** Resolves once somebody gets in: the tunnel is up. */
async function entered(): Promise<void> {
  await vi.waitUntil(
    async () => {
      try {
        const grant = await client.entrance(key, 'exec')
        return (await (await openExec(grant, { argv: ['true'] }, abort.signal)).exit) !== undefined
      } catch (error) {
        expect(error).toMatchObject({ reason: 'unavailable' })
        return false
      }
    },
    { timeout: 20_000 },
  )
}

execContract(
  'client, relay and gateway',
  async () => async (request, signal) => openExec(await client.entrance(key, 'exec'), request, signal),
)

describe('through the server', () => {
  test('a grant names the relay, and the environment it is for', async () => {
    const { urls, ca } = await client.entrance(key, 'exec')
    const path = `/relay/${runner.resource.metadata.uid}/entrance/${environment.metadata.uid}/exec`
    expect(urls).toEqual([`${server.url()}${path}`])
    expect(ca).toBe(server.pki.ca)
  })

  test('others are not let in, an administrator neither', async () => {
    for (const token of [server.tokens.bob, server.tokens.eve, server.tokens.admin]) {
      const other = createClient({ server: server.url(), ca: server.pki.ca, credential: () => token })
      await expect(other.entrance(key, 'exec')).rejects.toMatchObject({ reason: 'forbidden' })
      await other.close()
    }
  })

  test('a token is good once, whichever way it comes', async ({ signal }) => {
    const grant = await client.entrance(key, 'exec')
    await (await openExec(grant, { argv: ['true'] }, signal)).exit
    await expect(openExec(grant, { argv: ['true'] }, signal)).rejects.toMatchObject({
      reason: 'unauthenticated',
      code: 'entrance-token-used',
    })
  })

  test('a server that restarts is dialled again', { timeout: 40_000 }, async () => {
    await server.restart()
    await entered()
  })
})
