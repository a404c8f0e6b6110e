// A PostgreSQL, environments and enrolled runners in it, and the server that serves them.
import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { exportJWK, generateKeyPair } from 'jose'
import pg from 'pg'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../../src/adapters/postgres/embedded/embedded-postgres.ts'
import { openPostgres, type Postgres } from '../../../src/adapters/postgres/open-postgres.ts'
import type { Resource } from '../../../src/api/resource.ts'
import { systemClock, timestamp } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { NAMESPACE, nameOf, runnerNameOf } from './load.ts'
import type { Identity } from './runners.ts'
import { ServerProcess } from './server-process.ts'

export interface World {
  readonly postmaster: number
  readonly database: Postgres
  /** Connections of the bench's own. */
  readonly sql: pg.Client
  readonly listener: pg.Client
  readonly server: ServerProcess
  close(): Promise<void>
}

export async function startWorld(): Promise<World> {
  const dir = await mkdtemp('/var/tmp/bothy-bench-')
  await chmod(dir, 0o755)
  await mkdir(join(dir, 'data'))
  const embedded: EmbeddedPostgres = await startEmbeddedPostgres({
    dataDir: join(dir, 'data'),
    log: silentLog,
  })
  const database = await openPostgres({ url: embedded.url, log: silentLog, clock: systemClock })
  const connect = async () => {
    const client = new pg.Client({ connectionString: embedded.url, application_name: 'bench' })
    await client.connect()
    return client
  }
  const [sql, listener] = [await connect(), await connect()]
  const server = new ServerProcess(dir, embedded.url)
  return {
    postmaster: embedded.pid(),
    database,
    sql,
    listener,
    server,
    async close() {
      await server.close()
      await sql.end()
      await listener.end()
      await database.close()
      await embedded.stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Runners with keys and fresh leases, and environments spread over them as they look while they run (some 1.5 KB). */
export async function seed(
  { store, credentials, leases }: Postgres,
  counts: { readonly objects: number; readonly runners: number },
): Promise<{ readonly identities: Identity[]; readonly writesPerSecond: number }> {
  const identities: Identity[] = []
  for (let index = 0; index < counts.runners; index++)
    identities.push(await enrol({ credentials, store }, runnerNameOf(index)))
  // Heard of a moment ago, as far as the server can tell.
  for (const { runner } of identities) await leases.renew(runner.uid, systemClock.now())

  const started = performance.now()
  await each(counts.objects, 64, async index => {
    const made = await store.create({
      kind: 'Environment',
      metadata: {
        name: nameOf(index),
        namespace: NAMESPACE,
        labels: { team: `team-${index % 50}` },
        annotations: { 'bothy.dev/owner': `user-${index % 500}` },
        finalizers: ['bothy.dev/runner'],
      },
      spec: {
        desired: 'Running',
        class: 'small',
        runner: runnerNameOf(index % Math.max(1, counts.runners)),
        content: { git: { url: 'https://git.example.com/team/app.git', ref: 'main', depth: 1 } },
        env: { LOG_LEVEL: 'debug' },
      },
    })
    await store.update({ ...made, status: runningStatus() }, 'status')
  })
  return { identities, writesPerSecond: (counts.objects * 2 * 1000) / (performance.now() - started) }
}

/** Runs `work` for 0 … n - 1, so many at a time. */
export async function each(n: number, atOnce: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const loop = async () => {
    while (next < n) await work(next++)
  }
  await Promise.all(Array.from({ length: atOnce }, loop))
}

async function enrol(
  { credentials, store }: Pick<Postgres, 'credentials' | 'store'>,
  name: string,
): Promise<Identity> {
  const metadata = { name, namespace: NAMESPACE }
  const { uid } = (await store.create({ kind: 'Runner', metadata, spec: { cordoned: false } })).metadata
  const keys = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true })
  const secret = randomBytes(32).toString('base64url')
  const hash = createHash('sha256').update(secret).digest('hex')
  const expiresAtMs = systemClock.now() + 60_000
  await credentials.putEnrollmentToken({ hash, runnerUid: uid, namespace: NAMESPACE, name, expiresAtMs })
  const signingKey = JSON.stringify(await exportJWK(keys.publicKey))
  await credentials.redeemEnrollment(hash, { signingKey, sealingKey: '{}' }, systemClock.now())
  return {
    runner: { uid, namespace: NAMESPACE, name },
    signingKey: { ...(await exportJWK(keys.privateKey)) },
  }
}

function runningStatus(): Resource<'Environment'>['status'] {
  const now = timestamp(systemClock.now())
  const stages = ['image', 'disk', 'content', 'sandbox', 'network']
  const conditions = ['Scheduled', 'ImageReady', 'ContentReady', 'Ready']
  return {
    phase: 'Running',
    observedGeneration: 1,
    epoch: 0,
    conditions: conditions.map(type => ({
      type,
      status: 'True',
      reason: 'AsWanted',
      message: 'everything is as it was asked for',
      lastTransitionTime: now,
    })),
    stages: stages.map(name => ({ name, started: now, ended: now })),
    image: { reference: 'registry.example.com/dev/base:1', digest: `sha256:${'0123456789abcdef'.repeat(4)}` },
    git: { directory: '/workspaces/app', commit: '0123456789abcdef0123456789abcdef01234567', branch: 'main' },
  }
}
