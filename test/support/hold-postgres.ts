// Run as a process of its own: holds an embedded PostgreSQL in the folder that it is given until it is killed.
import { startEmbeddedPostgres } from '../../src/adapters/postgres/embedded/embedded-postgres.ts'
import { openPostgres } from '../../src/adapters/postgres/open-postgres.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'

const [dataDir, name] = process.argv.slice(2)
if (dataDir === undefined || name === undefined) throw new Error('usage: hold-postgres DATA NAME')
const { url, pid } = await startEmbeddedPostgres({ dataDir, log: silentLog })
const { store } = await openPostgres({ url, log: silentLog, clock: systemClock })
await store.create({ kind: 'Runner', metadata: { name, namespace: 'default' }, spec: { cordoned: false } })
process.stdout.write(`${pid()}\n`)
