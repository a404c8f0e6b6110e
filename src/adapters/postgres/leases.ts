import type pg from 'pg'
import type { LeaseStore } from '../../core/credentials.ts'
import { sqlFault } from './sql-faults.ts'

interface Batch {
  readonly beats: Map<string, number>
  readonly done: PromiseWithResolvers<void>
}

// Never backwards: a beat that was held up must not age the lease. In order of holders, as every server writes them, so
// that no two of them wait for each other.
const RENEW = `
  INSERT INTO bothy.lease AS l (holder, renewed_at_ms)
  SELECT holder, renewed_at_ms FROM unnest($1::text[], $2::bigint[]) AS beat (holder, renewed_at_ms)
   ORDER BY holder COLLATE "C"
  ON CONFLICT (holder) DO UPDATE SET renewed_at_ms = greatest(l.renewed_at_ms, excluded.renewed_at_ms)`

/** Heartbeats ride together: while one statement is under way others gather, and the next one carries all of them. */
export class PostgresLeases implements LeaseStore {
  readonly #pool: pg.Pool
  #gathering: Batch | undefined
  #isWriting = false

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  async renew(holder: string, nowMs: number): Promise<void> {
    this.#gathering ??= { beats: new Map(), done: Promise.withResolvers<void>() }
    const { beats, done } = this.#gathering
    beats.set(holder, Math.max(nowMs, beats.get(holder) ?? 0))
    if (!this.#isWriting) void this.#write()
    try {
      await done.promise
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

  async #write(): Promise<void> {
    this.#isWriting = true
    for (let batch = this.#take(); batch !== undefined; batch = this.#take()) {
      const { beats, done } = batch
      try {
        const values = [[...beats.keys()], [...beats.values()]]
        await this.#pool.query({ name: 'renew-leases', text: RENEW, values })
        done.resolve()
      } catch (error) {
        done.reject(error)
      }
    }
    this.#isWriting = false
  }

  #take(): Batch | undefined {
    const batch = this.#gathering
    this.#gathering = undefined
    return batch
  }
}
