// A gateway of a runner, on loopback, in front of plain child processes, and the authority that lets people in.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execHere } from '../../src/adapters/fake/exec.ts'
import { type EntranceGrant, type EntranceKind, entrancePath } from '../../src/api/entrance.ts'
import type { Exec } from '../../src/core/exec.ts'
import { createGateway, type Gateway } from '../../src/gateway/create-gateway.ts'
import type { GatewayBackend } from '../../src/gateway/gateway-backend.ts'
import { type Clock, systemClock } from '../../src/lib/clock.ts'
import { Fault } from '../../src/lib/fault.ts'
import { uuidv7 } from '../../src/lib/ids.ts'
import { type Log, silentLog } from '../../src/lib/log.ts'
import { loadPki, type Pki } from '../../src/server/pki/load-pki.ts'

export interface GatewayFixture {
  readonly pki: Pki
  readonly gateway: Gateway
  readonly url: string
  readonly runnerUid: string
  readonly environmentUid: string
  grant(kind: EntranceKind): Promise<EntranceGrant>
  close(): Promise<void>
}

export interface GatewayFixtureOptions {
  readonly backend?: Partial<GatewayBackend>
  readonly clock?: Clock
  readonly log?: Log
}

export async function openGateway(options: GatewayFixtureOptions = {}): Promise<GatewayFixture> {
  const dir = await mkdtemp(join(tmpdir(), 'bothy-gateway-'))
  const pki = await loadPki(join(dir, 'server'))
  const runnerUid = uuidv7()
  const environmentUid = uuidv7()
  const missing = () => {
    throw new Fault('not_found', 'environment-not-here', 'no such environment on this runner')
  }
  const gateway = createGateway({
    runnerUid,
    keys: () => pki.jwks.keys,
    backend: {
      exec: async uid => (uid === environmentUid ? childExec : missing()),
      receiveContent: async () => missing(),
      logs: async () => missing(),
      ...options.backend,
    },
    log: options.log ?? silentLog,
    clock: options.clock ?? systemClock,
  })
  const certificate = await pki.serverCertificate(['127.0.0.1', 'localhost'])
  const { url } = await gateway.listen({ host: '127.0.0.1', port: 0, ...certificate })
  return {
    pki,
    gateway,
    url,
    runnerUid,
    environmentUid,
    async grant(kind) {
      const claims = { aud: `runner:${runnerUid}`, sub: 'user:ada', env: environmentUid, act: kind }
      const token = await pki.signEntrance(claims)
      return { urls: [url.replace('https:', 'wss:') + entrancePath(kind, environmentUid)], token, ca: pki.ca }
    },
    async close() {
      await gateway.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Runs commands as children of this process. */
export const childExec: Exec = (request, signal) => {
  const inherited = Object.entries(process.env).filter(
    (each): each is [string, string] => each[1] !== undefined,
  )
  const env = { ...Object.fromEntries(inherited), ...request.env }
  return execHere({ ...request, cwd: request.cwd ?? '/', env }, signal)
}
