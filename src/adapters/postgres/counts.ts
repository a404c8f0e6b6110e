import type pg from 'pg'
import type { Kind } from '../../api/resource.ts'
import type { Counts } from '../../core/counts.ts'
import { sqlFault } from './sql-faults.ts'

const COUNT = `
  SELECT coalesce(body #>> $2::text[], '') AS value, count(*) AS n
    FROM bothy.resource WHERE kind = $1 GROUP BY 1`

export class PostgresCounts implements Counts {
  readonly #pool: pg.Pool

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  async count(kind: Kind, by: readonly string[]): Promise<ReadonlyMap<string, number>> {
    try {
      const { rows } = await this.#pool.query<{ value: string; n: string }>(COUNT, [kind, by])
      return new Map(rows.map(({ value, n }) => [value, Number(n)]))
    } catch (error) {
      throw sqlFault(error, `count ${kind}`)
    }
  }
}
