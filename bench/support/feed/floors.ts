// What the API's figures are to be compared with: the same work with less around it.
import type pg from 'pg'
import type { Postgres } from '../../../src/adapters/postgres/open-postgres.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { NAMESPACE, nameOf, nowUs, SENT } from './load.ts'
import { each } from './world.ts'

const WRITES_PER_WRITER = 100

/** Read, change and write by way of the store, without HTTP, identities and JSON of requests. */
export async function storeWritesPerSecond({ store }: Postgres, writers: number): Promise<number> {
  const startedMs = performance.now()
  await each(writers, writers, async writer => {
    for (let round = 0; round < WRITES_PER_WRITER; round++) {
      const name = nameOf(writer)
      const found = await store.find({ kind: 'Environment', namespace: NAMESPACE, name })
      if (found === undefined) throw new Error(`${name} is not there`)
      const annotations = { ...found.metadata.annotations, [SENT]: String(nowUs()) }
      await store.update({ ...found, metadata: { ...found.metadata, annotations } }, 'main')
    }
  })
  return (writers * WRITES_PER_WRITER * 1000) / (performance.now() - startedMs)
}

/** From `pg_notify` to the notification, both on this connection's side of a busy machine; five times a second. */
export async function notifyLatencies(
  sql: pg.Client,
  listener: pg.Client,
  seconds: number,
): Promise<number[]> {
  const latencies: number[] = []
  let heard: () => void = () => undefined
  listener.on('notification', () => heard())
  await listener.query('LISTEN bench_floor')
  for (const until = nowUs() + seconds * 1e6; nowUs() < until; ) {
    const notified = new Promise<void>(resolve => {
      heard = resolve
    })
    const sentUs = nowUs()
    await sql.query(`SELECT pg_notify('bench_floor', '')`)
    await notified
    latencies.push((nowUs() - sentUs) / 1000)
    await systemClock.sleep(200)
  }
  await listener.query('UNLISTEN bench_floor')
  return latencies
}
