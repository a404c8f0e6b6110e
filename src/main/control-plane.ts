// The control plane in one process: PostgreSQL, store, API server, controllers.
import { hostname } from 'node:os'

import { startEmbeddedPostgres } from '../adapters/postgres/embedded/embedded-postgres.ts'
import { openPostgres, type Postgres } from '../adapters/postgres/open-postgres.ts'
import type { Address } from '../cli/deps.ts'
import { retainEvents } from '../controllers/event-retention/retain.ts'
import { runGarbageCollector } from '../controllers/garbage-collector/run-garbage-collector.ts'
import { organizations } from '../controllers/organization/reconcile.ts'
import { runnerHealth, runnerReachability } from '../controllers/runner-health/reconcile.ts'
import { scheduler } from '../controllers/scheduler/reconcile.ts'
import { snapshotScheduler } from '../controllers/scheduler/snapshots.ts'
import { runController } from '../core/controller.ts'
import { createEvents } from '../core/events.ts'
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { createServer } from '../server/create-server.ts'
import { loadPki } from '../server/pki/load-pki.ts'
import { listenByDefault } from './default-address.ts'
import { DEFAULT_CLASS, ensureDefaultClass, ensureOrganizations } from './defaults.ts'
import { dataPaths } from './paths.ts'
import { VERSION } from './version.ts'

// A server whose `bothy up` was killed ends by itself, and writes a checkpoint first.
const LET_GO_MS = 30_000
// The database is there until after: what controllers have told last is written within milliseconds.
const LAST_EVENTS_MS = 2_000

export interface ControlPlaneOptions {
  readonly dataDir: string
  /** Absent: where it listened last, by default 127.0.0.1:7766, or the next port that is free. */
  readonly listen?: Address
  /** Absent: the embedded PostgreSQL. */
  readonly databaseUrl?: string
  readonly log: Log
  readonly clock: Clock
  readonly signal: AbortSignal
}

export interface ControlPlane {
  readonly url: string
  /** PEM. */
  readonly ca: string
  readonly postgres: Postgres
  /** Ends watches, controllers, server and database, in that order. */
  stop(): Promise<void>
}

export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { dataDir, log, clock, signal } = options
  const embedded =
    options.databaseUrl === undefined
      ? await startEmbeddedPostgres({ dataDir, log, signal, waitMs: LET_GO_MS })
      : undefined
  const undo: (() => Promise<void>)[] = [async () => embedded?.stop()]
  const stop = async () => {
    for (const step of undo.splice(0).reverse()) await step()
  }
  try {
    const postgres = await openPostgres({ url: embedded?.url ?? options.databaseUrl ?? '', log, clock })
    undo.push(() => postgres.close())
    await ensureOrganizations(postgres.store)
    await ensureDefaultClass(postgres.store)
    const pki = await loadPki(dataPaths(dataDir).server, clock)
    const server = createServer({ ...postgres, pki, clock, log, version: VERSION })
    undo.push(() => server.close())
    const { url } =
      options.listen === undefined
        ? await listenByDefault(address => server.listen(address), dataPaths(dataDir).server, log)
        : await server.listen(options.listen)
    const controllers = startControllers(postgres, { clock, log })
    undo.push(controllers)
    return { url, ca: pki.ca, postgres, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function startControllers(
  postgres: Postgres,
  { clock, log }: { clock: Clock; log: Log },
): () => Promise<void> {
  const { store, leases } = postgres
  const ending = new AbortController()
  const options = { store, clock, log, signal: ending.signal }
  const events = createEvents({ store, clock, log, instance: hostname() })
  const health = events.recorder('runner-health')
  const running = [
    runController(scheduler({ events: events.recorder('scheduler') }), options),
    runController(snapshotScheduler({ events: events.recorder('scheduler') }), options),
    runController(runnerHealth({ leases, clock, events: health }), options),
    runController(runnerReachability({ events: health }), options),
    runController(organizations({ defaultClass: DEFAULT_CLASS }), options),
    runGarbageCollector({ ...options, events: events.recorder('garbage-collector') }),
    retainEvents(options),
  ]
  return async () => {
    ending.abort()
    await Promise.all(running)
    await events.close(LAST_EVENTS_MS)
  }
}
