// A gateway of a runner, on loopback, in front of plain child processes, and the authority that lets people in.
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EntranceGrant, EntranceKind } from '../../src/api/entrance.ts'
import { entrancePath } from '../../src/api/entrance.ts'
import type { Exec, Exit } from '../../src/core/exec.ts'
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

/** Runs commands as children of this process, without terminals. */
export const childExec: Exec = async (request, signal) => {
  if (signal.aborted) throw new Fault('cancelled', 'exec-cancelled', 'run: cancelled')
  const [file = '', ...args] = request.argv
  const child = spawn(file, args, {
    cwd: request.cwd ?? '/',
    env: { ...process.env, ...request.env },
    detached: true,
    stdio: 'pipe',
  })
  // Ends of pipes that break because the command ended first.
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream.on('error', () => undefined)
  const exit = new Promise<Exit>(resolve => {
    child.once('close', (code, name) => resolve(name === null ? { code: code ?? -1 } : { signal: name }))
  })
  const kill = () => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // Gone already, which is what was wanted.
    }
  }
  signal.addEventListener('abort', kill, { once: true })
  void exit.then(() => signal.removeEventListener('abort', kill))
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', cause => {
      reject(new Fault('not_found', 'program-missing', `run ${file}: no such program`, { cause }))
    })
  })
  return { stdin: child.stdin, stdout: child.stdout, stderr: child.stderr, resize: () => undefined, exit }
}
