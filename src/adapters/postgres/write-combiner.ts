// Writes ride together: while one transaction is open, others queue, and the next transaction carries all of them. Each
// commit waits for the disk and for the order lock once, whatever the number of writes in it.
import type pg from 'pg'
import type { Key } from '../../api/resource.ts'
import { failpoint } from '../../lib/failpoint.ts'
import type { Body } from './rows.ts'
import { isRefusedValue } from './sql-faults.ts'

export interface Write {
  readonly op: 'create' | 'put' | 'remove'
  readonly key: Key
  readonly uid: string
  /** The revision that must be stored; absent for `create`. */
  readonly expected?: string
  readonly body: Body
}

export interface WriteResult {
  /** The new revision; undefined when the precondition failed and nothing was written. */
  readonly written: string | undefined
  /** The revision found before; undefined when there was no such object. */
  readonly existing: string | undefined
}

interface Waiting {
  readonly write: Write
  readonly resolve: (result: WriteResult) => void
  readonly reject: (error: unknown) => void
}

// Enough to make the commit's cost vanish; bounds the time that one batch holds the order lock to some 10 ms.
const MAX_BATCH = 256

export class WriteCombiner {
  readonly #pool: pg.Pool
  #queue: Waiting[] = []
  #running = false

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  /** Rejects with what the driver threw; the caller translates. */
  write(write: Write): Promise<WriteResult> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ write, resolve, reject })
      if (!this.#running) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#running = true
    while (this.#queue.length > 0) await this.#commit(this.#takeBatch())
    this.#running = false
  }

  // In order of arrival; a second write to the same object waits for the next batch.
  #takeBatch(): Waiting[] {
    const batch: Waiting[] = []
    const rest: Waiting[] = []
    const keys = new Set<string>()
    for (const waiting of this.#queue) {
      const { kind, namespace, name } = waiting.write.key
      const key = `${kind}/${namespace}/${name}`
      if (batch.length < MAX_BATCH && !keys.has(key)) batch.push(waiting)
      else rest.push(waiting)
      keys.add(key)
    }
    this.#queue = rest
    return batch
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    try {
      failpoint('server.committing')
      const results = await this.#send(batch.map(({ write }) => write))
      failpoint('server.committed')
      batch.forEach(({ resolve, reject }, index) => {
        const result = results[index]
        if (result === undefined) reject(new RangeError('write_batch answered fewer rows than it was asked'))
        else resolve(result)
      })
    } catch (error) {
      // A value that PostgreSQL refuses rolls back the whole batch; its neighbours must not suffer for it.
      if (batch.length > 1 && isRefusedValue(error))
        for (const waiting of batch) await this.#commit([waiting])
      else for (const { reject } of batch) reject(error)
    }
  }

  async #send(writes: readonly Write[]): Promise<WriteResult[]> {
    const items = writes.map(({ op, key, uid, expected, body }) => ({ op, ...key, uid, expected, body }))
    const { rows } = await this.#pool.query<{ written: string | null; existing: string | null }>({
      name: 'write-batch',
      text: 'SELECT written, existing FROM bothy.write_batch($1) ORDER BY ord',
      values: [JSON.stringify(items)],
    })
    return rows.map(({ written, existing }) => ({
      written: written ?? undefined,
      existing: existing ?? undefined,
    }))
  }
}
