import type pg from 'pg'
import type { LeaseStore } from '../../core/credentials.ts'
import { sqlFault } from './sql-faults.ts'

export class PostgresLeases implements LeaseStore {
  readonly #pool: pg.Pool

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  async renew(holder: string, nowMs: number): Promise<void> {
    try {
      // Never backwards: a beat that was held up must not age the lease.
      await this.#pool.query({
        name: 'renew-lease',
        text: `INSERT INTO bothy.lease AS l (holder, renewed_at_ms) VALUES ($1, $2)
               ON CONFLICT (holder) DO UPDATE SET renewed_at_ms = greatest(l.renewed_at_ms, excluded.renewed_at_ms)`,
        values: [holder, nowMs],
      })
    } catch (error) {
      throw sqlFault(error, `renew the lease of ${holder}`)
    }
  }

  async list(): Promise<ReadonlyMap<string, number>> {
    try {
      const { rows } = await this.#pool.query<{ holder: string; renewed_at_ms: string }>(
        'SELECT holder, renewed_at_ms FROM bothy.lease',
      )
      return new Map(rows.map(row => [row.holder, Number(row.renewed_at_ms)]))
    } catch (error) {
      throw sqlFault(error, 'list leases')
    }
  }
}
