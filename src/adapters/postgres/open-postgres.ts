import pg from 'pg'
import type { Counts } from '../../core/counts.ts'
import type { CredentialStore, LeaseStore } from '../../core/credentials.ts'
import type { Revision, Store } from '../../core/store.ts'
import type { UsageStore } from '../../core/usage.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { PostgresCounts } from './counts.ts'
import { PostgresCredentials } from './credentials.ts'
import { Feed } from './feed.ts'
import { PostgresLeases } from './leases.ts'
import { listen } from './listener.ts'
import { migrate } from './migrate.ts'
import { PostgresStore } from './postgres-store.ts'
import { sqlFault } from './sql-faults.ts'
import { PostgresUsage } from './usage.ts'
import { WriteCombiner } from './write-combiner.ts'

export interface Postgres {
  readonly store: Store
  readonly credentials: CredentialStore
  readonly leases: LeaseStore
  readonly usage: UsageStore
  readonly counts: Counts
  /**
   * Forgets changes older than `ageMs`, except the newest `keep` (default 10,000), and whatever is not among the newest
   * 100,000; answers the revision from which watches can start now. Runs by itself every minute.
   */
  compact(ageMs: Millis, keep?: number): Promise<Revision>
  /** Ends watches with `unavailable`, waits for queries under way, closes all connections. */
  close(): Promise<void>
}

const COMPACT_EVERY_MS = 60_000
// A watcher that was away this long, or missed this many changes, lists again.
const KEEP_MS = 60 * 60_000
const KEEP_CHANGES = 10_000
// Bounds the log however fast it grows: at 2 KB before and after each change, some 400 MB.
const MOST_CHANGES = 100_000

// Writes share one connection and watches one; the others serve reads. PostgreSQL's default ceiling is 100 for all.
const MAX_CONNECTIONS = 10

/**
 * Opens the database at `url` (PostgreSQL 15 or later, UTF-8) and migrates it first. Faults with `unavailable` when it
 * cannot be reached, with `unsupported` when it is not for this program.
 */
export async function openPostgres({
  url,
  log,
  clock,
}: {
  url: string
  log: Log
  clock: Clock
}): Promise<Postgres> {
  await migrate({ url, log })
  const connection: pg.ClientConfig = {
    connectionString: url,
    keepAlive: true,
    connectionTimeoutMillis: 10_000,
  }
  const pool = new pg.Pool({
    ...connection,
    application_name: 'bothy',
    max: MAX_CONNECTIONS,
    // No query of ours takes seconds; one that does waits for a lock or for a network that is gone.
    lock_timeout: 10_000,
    statement_timeout: 30_000,
    query_timeout: 35_000,
    idle_in_transaction_session_timeout: 30_000,
  })
  // An idle connection broke; the pool makes a new one when it needs one.
  pool.on('error', error => log.debug({ error: String(error) }, 'database connection lost'))

  const stop = new AbortController()
  const feed = new Feed({ pool, clock, log })
  const credentials = new PostgresCredentials(pool, clock)
  const usage = new PostgresUsage(pool)
  const compact = (ageMs: Millis, keep = KEEP_CHANGES) => compactLog(pool, ageMs, keep)
  const sweep = async () => {
    await compact(KEEP_MS)
    await credentials.sweep(clock.now())
    await usage.sweep(clock.now())
  }
  const background = Promise.all([
    feed.run(stop.signal),
    listen({
      connection,
      channels: { bothy_change: feed.nudge, bothy_credentials: credentials.changed },
      onLost: credentials.deaf,
      clock,
      log,
      signal: stop.signal,
    }),
    every(COMPACT_EVERY_MS, sweep, { clock, log, signal: stop.signal }),
  ])

  let closing: Promise<void> | undefined
  const close = async () => {
    stop.abort()
    await background
    await pool.end()
  }
  return {
    store: new PostgresStore({ pool, writes: new WriteCombiner(pool), feed, clock }),
    credentials,
    leases: new PostgresLeases(pool),
    usage,
    counts: new PostgresCounts(pool),
    compact,
    close: () => (closing ??= close()),
  }
}

async function compactLog(pool: pg.Pool, ageMs: Millis, keep: number): Promise<Revision> {
  try {
    const { rows } = await pool.query<{ floor: string }>(
      `SELECT bothy.compact($1 * interval '1 millisecond', $2, $3) AS floor`,
      [ageMs, keep, MOST_CHANGES],
    )
    return rows[0]!.floor
  } catch (error) {
    throw sqlFault(error, 'compact the change log')
  }
}

/** A round that fails is logged; the next one has the same work to do. */
async function every(
  periodMs: Millis,
  round: () => Promise<void>,
  { clock, log, signal }: { clock: Clock; log: Log; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    // Rejects only because of the abort, which the loop sees.
    await clock.sleep(periodMs, signal).catch(() => undefined)
    if (signal.aborted) return
    await round().catch((error: unknown) =>
      log.warn({ error: String(error) }, 'database housekeeping failed'),
    )
  }
}
