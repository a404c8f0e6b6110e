import type pg from 'pg'
import type { UsageReport } from '../../api/usage.ts'
import type { ToldUsage, UsageStore } from '../../core/usage.ts'
import type { Millis } from '../../lib/clock.ts'
import { sqlFault } from './sql-faults.ts'

const PUT = `
  INSERT INTO bothy.usage AS u (runner, told_at_ms, report) VALUES ($1, $2, $3)
  ON CONFLICT (runner) DO UPDATE SET told_at_ms = excluded.told_at_ms, report = excluded.report
  RETURNING watched_at_ms`
const FIND = `
  SELECT runner, told_at_ms, watched_at_ms, report FROM bothy.usage
   WHERE runner = ANY ($1::uuid[]) AND told_at_ms > $2`
// In order of runners, as everybody writes them, so that no two who look wait for each other.
const WATCHED = `
  UPDATE bothy.usage SET watched_at_ms = $2 WHERE runner IN (
    SELECT runner FROM bothy.usage WHERE runner = ANY ($1::uuid[]) ORDER BY runner FOR UPDATE)`
const FORGET = 'DELETE FROM bothy.usage WHERE told_at_ms < $1'

/** Looking is written down this seldom: whoever looks at all does so for longer. */
const REMEMBER_MS: Millis = 5_000
const FORGOTTEN_MS: Millis = 24 * 3_600_000

interface Row {
  readonly runner: string
  readonly told_at_ms: string
  readonly watched_at_ms: string
  readonly report: string
}

export class PostgresUsage implements UsageStore {
  readonly #pool: pg.Pool

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  async put(runnerUid: string, report: UsageReport, nowMs: Millis): Promise<Millis> {
    const values = [runnerUid, Math.round(nowMs), JSON.stringify(report)]
    try {
      const { rows } = await this.#pool.query<Row>({ name: 'put-usage', text: PUT, values })
      return Number(rows[0]!.watched_at_ms)
    } catch (error) {
      throw sqlFault(error, `keep the usage of runner ${runnerUid}`)
    }
  }

  async find(
    runnerUids: readonly string[],
    nowMs: Millis,
    sinceMs: Millis,
  ): Promise<ReadonlyMap<string, ToldUsage>> {
    if (runnerUids.length === 0) return new Map()
    try {
      const { rows } = await this.#pool.query<Row>(FIND, [runnerUids, Math.round(sinceMs)])
      const unknown = rows.filter(row => Number(row.watched_at_ms) < nowMs - REMEMBER_MS)
      if (unknown.length > 0)
        await this.#pool.query(WATCHED, [unknown.map(row => row.runner), Math.round(nowMs)])
      return new Map(
        rows.map(row => [
          row.runner,
          { toldAtMs: Number(row.told_at_ms), report: JSON.parse(row.report) as UsageReport },
        ]),
      )
    } catch (error) {
      throw sqlFault(error, 'read what runners measured')
    }
  }

  /** Forgets runners that have not told anything for a day. */
  async sweep(nowMs: Millis): Promise<void> {
    try {
      await this.#pool.query(FORGET, [Math.round(nowMs - FORGOTTEN_MS)])
    } catch (error) {
      throw sqlFault(error, 'forget what runners measured')
    }
  }
}
