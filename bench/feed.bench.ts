// The API under load: ordered writes, watches, lists, heartbeats of many runners, and a crash of the server in between.
//
//   npm run bench -- feed [--objects N] [--runners N] [--watchers N] [--writers N] [--rate N] [--seconds N]
//
// The server is the real one, in a process of its own, on a PostgreSQL that writes to the disk; the load comes from
// further processes on the same machine, whose cost is part of the picture. Comparators: the same writes made by the
// store without HTTP, a bare NOTIFY from connection to connection, and a path of the server that asks nobody.
import { parseArgs } from 'node:util'
import { systemClock } from '../src/lib/clock.ts'
import { LogReader, problems, type States } from './support/feed/check.ts'
import { notifyLatencies, storeWritesPerSecond } from './support/feed/floors.ts'
import { Histogram } from './support/feed/histogram.ts'
import type { Listed, Probed } from './support/feed/probes.ts'
import { spentBy } from './support/feed/proc.ts'
import { LoadProcess } from './support/feed/rpc.ts'
import type { Seen } from './support/feed/watchers.ts'
import { seed, startWorld } from './support/feed/world.ts'
import type { Written } from './support/feed/writers.ts'
import { report } from './support/report.ts'
import { quantile, Samples } from './support/stats.ts'

const { values } = parseArgs({
  options: {
    objects: { type: 'string', default: '10000' },
    runners: { type: 'string', default: '200' },
    watchers: { type: 'string', default: '100' },
    writers: { type: 'string', default: '16' },
    /** Writes per second of the paced phases. */
    rate: { type: 'string', default: '200' },
    /** Of the paced phase; others are fractions of it. */
    seconds: { type: 'string', default: '30' },
  },
})
const objects = Number(values.objects)
const counts = { objects, runners: Number(values.runners) }
const [watchers, writers, rate, seconds] = [values.watchers, values.writers, values.rate, values.seconds].map(
  Number,
) as [number, number, number, number]
const HEARTBEAT_MS = 10_000
/** What the compaction at the end leaves. */
const KEPT = 1_000

const samples = new Samples()
const figures: Record<string, number> = {}
const found: string[] = []
const say = (text: string) => void process.stderr.write(`${text}\n`)
const addAll = (name: string, list: Iterable<number>) => {
  for (const ms of list) samples.add(name, ms)
}

const world = await startWorld()
const startLoad = (file: string) => new LoadProcess(new URL(`support/feed/${file}.ts`, import.meta.url))
const load = {
  watchers: startLoad('watchers'),
  writers: startLoad('writers'),
  runners: startLoad('runners'),
  probes: startLoad('probes'),
  // Lists are large: what reading them costs must not look like waiting for others.
  lister: startLoad('probes'),
}
try {
  await run()
} finally {
  await Promise.all(Object.values(load).map(each => each.close()))
  await world.close()
}
for (const problem of found.slice(0, 20)) say(`WRONG: ${problem}`)
figures['what was missed, doubled, out of order or refused'] = found.length
report('feed', samples, figures, [
  { ratio: 'what was missed, doubled, out of order or refused', most: 0 },
  { ratio: 'paced: lag p99 (ms)', most: 100 },
  { ratio: 'paced: all calls p99 (ms)', most: 100 },
  { ratio: 'paced: writes/s', least: rate * 0.97 },
  { ratio: 'changes of Runners while they only beat', most: 0 },
  { ratio: 'change log: rows after compaction', most: KEPT },
])
process.exit(0)

async function run(): Promise<void> {
  const { database, sql, server } = world
  say(`making ${objects} environments and ${counts.runners} runners`)
  const seeded = await seed(database, counts)
  figures['writes/s of the store alone, 64 writers'] = seeded.writesPerSecond
  figures[`writes/s of the store alone, ${writers} writers`] = await storeWritesPerSecond(database, writers)
  await sql.query('VACUUM ANALYZE')

  const startedMs = performance.now()
  const address = await server.start()
  figures['server start (ms)'] = performance.now() - startedMs
  const listed = await load.lister.call<Listed>('list', { address, limit: 500 })
  if (listed.items.length !== objects) found.push(`the first list holds ${listed.items.length} of ${objects}`)
  const staggerMs = HEARTBEAT_MS / Math.max(1, counts.runners)
  const known = await load.runners.call<number>('start', {
    address,
    identities: seeded.identities,
    statusesPerSecond: rate / 10,
    staggerMs,
  })
  if (counts.runners > 0 && known !== objects) found.push(`runners know ${known} of ${objects}`)
  const log = new LogReader(sql, listed.revision)
  await load.watchers.call('start', { address, watchers, objects, from: listed.revision })
  figures['server memory, connected (MB)'] = server.memoryMb().now
  // The controllers have had their say about so many runners.
  await systemClock.sleep(2_000)
  await log.read()
  const settledAt = log.latest

  const revisions: number[] = []
  /** A stretch of writing, with everything else going on. */
  const phase = async (
    name: string,
    options: { seconds: number; perSecond: number; outage?: boolean; pageEveryMs?: number },
    during: () => Promise<void> = async () => undefined,
  ) => {
    say(`${name}, ${options.seconds} s`)
    await Promise.all([load.watchers.call('lag'), load.runners.call('take')])
    const before = spentMs()
    const pid = server.pid
    const reading = log.follow()
    const [written, probed] = await Promise.all([
      load.writers.call<Written>('run', { address, writers, objects, ...options }),
      load.probes.call<Probed>('probe', { address, objects, pageEveryMs: 0, ...options }),
      during(),
    ])
    const after = spentMs()
    await reading.stop()
    await load.watchers.call('caughtUp', log.latest)
    const lag = new Histogram(await load.watchers.call('lag'))
    const taken = await load.runners.call<
      Record<'heartbeats' | 'statuses', number[]> & { failures: string[] }
    >('take')
    revisions.push(...written.revisions)
    found.push(...written.problems.slice(0, 5))
    if (options.outage !== true) {
      found.push(...taken.failures.slice(0, 5))
      if (probed.failures > 0) found.push(`${name}: ${probed.failures} reads failed`)
    }
    const perSecond = written.latencies.length / written.seconds
    addAll(`${name}: write`, written.latencies)
    addAll(`${name}: get`, probed.gets)
    if (probed.pages.length > 0) addAll(`${name}: page of 500`, probed.pages)
    addAll(`${name}: heartbeat`, taken.heartbeats)
    addAll(`${name}: status by a runner`, taken.statuses)
    addAll(`${name}: path that asks nobody`, probed.floor)
    figures[`${name}: writes/s`] = perSecond
    figures[`${name}: deliveries/s`] = lag.total / written.seconds
    figures[`${name}: lag p50 (ms)`] = lag.quantile(0.5)
    figures[`${name}: lag p99 (ms)`] = lag.quantile(0.99)
    figures[`${name}: lag most (ms)`] = lag.quantile(1)
    if (pid === server.pid) {
      for (const [who, ms] of Object.entries(after))
        figures[`${name}: cores, ${who}`] = (ms - (before[who] ?? 0)) / 1000 / written.seconds
    }
    return { written, probed, taken }
  }

  const paced = await phase('paced', { seconds, perSecond: rate, pageEveryMs: 2_000 }, async () =>
    addAll('paced: bare NOTIFY', await notifyLatencies(sql, world.listener, seconds)),
  )
  const api = [
    ...paced.written.latencies,
    ...paced.probed.gets,
    ...paced.taken.heartbeats,
    ...paced.taken.statuses,
  ]
  addAll('paced: all calls but lists', api)
  figures['paced: all calls p99 (ms)'] = quantile(api, 0.99)
  figures['server memory after the paced phase (MB)'] = server.memoryMb().now

  say('lists')
  const quietly = async (name: string, limit: number) => {
    const probing = load.probes.call<Probed>('probe', { address, objects, seconds: 3, pageEveryMs: 0 })
    const taken = await load.lister.call<Listed>('list', { address, limit })
    const { gets } = await probing
    samples.add(name, taken.ms)
    addAll(`${name}: get meanwhile`, gets)
    figures[`${name} (MB)`] = taken.bytes / 1e6
    return taken
  }
  for (let round = 0; round < 3; round++) {
    await quietly(`list of ${objects}, pages of 500`, 500)
    await quietly(`list of ${objects}, unpaged`, 0)
  }

  await phase('flat out', { seconds: seconds / 3, perSecond: Number.POSITIVE_INFINITY }, async () => {
    await systemClock.sleep((seconds / 6) * 1000)
    samples.add(`compaction to ${KEPT} changes, meanwhile`, await compact())
  })
  await phase('crash', { seconds: seconds / 2, perSecond: rate, outage: true }, async () => {
    await systemClock.sleep((seconds / 8) * 1000)
    await server.kill()
    const mark = performance.now()
    await server.start()
    figures['crash: server serves again after (ms)'] = performance.now() - mark
  })
  say('checks')
  await load.runners.call('pause')
  await log.read()
  await load.watchers.call('caughtUp', log.latest)
  const final = await load.lister.call<Listed>('list', { address, limit: 500 })
  const revisionOf = new Map(final.items.map(([name, revision]) => [name, Number(revision)]))
  const states = await settledStates(revisionOf)
  found.push(
    ...problems({
      log: log.revisions,
      watchers: await load.watchers.call<Seen[]>('seen'),
      written: revisions,
      final: revisionOf,
      runners: states,
      objects,
    }),
  )
  figures['changes seen by each watcher'] = log.revisions.length
  figures['changes of Runners while they only beat'] = await changesOfRunners(settledAt)
  figures['server memory at the end (MB)'] = server.memoryMb().now
  figures['server memory at its highest, since the crash (MB)'] = server.memoryMb().peak
  figures['change log: rows'] = await rowsOfLog()
  samples.add(`compaction to ${KEPT} changes`, await compact())
  figures['change log: rows after compaction'] = await rowsOfLog()
}

/** What the runners hold, once their watches have brought everything; after 5 s, what they hold then. */
async function settledStates(final: ReadonlyMap<string, number>): Promise<States> {
  for (let patience = 50; ; patience--) {
    const states = await load.runners.call<States>('state')
    const isLate = states.flat().some(([name, revision]) => final.get(name) !== Number(revision))
    if (!isLate || patience === 0) return states
    await systemClock.sleep(100)
  }
}

/** How long it took, in milliseconds. */
async function compact(): Promise<number> {
  const mark = performance.now()
  await world.database.compact(0, KEPT)
  return performance.now() - mark
}

/** Processor time so far, by who spent it. */
function spentMs(): Record<string, number> {
  const { writers, watchers, runners, probes, lister } = load
  return spentBy(
    {
      server: [world.server.pid],
      'writers and readers': [writers.pid, probes.pid, lister.pid],
      watchers: [watchers.pid],
      runners: [runners.pid],
      'this bench': [process.pid],
    },
    { PostgreSQL: world.postmaster },
  )
}

async function rowsOfLog(): Promise<number> {
  const { rows } = await world.sql.query<{ n: string }>('SELECT count(*) AS n FROM bothy.change')
  return Number(rows[0]?.n)
}

async function changesOfRunners(since: number): Promise<number> {
  const text = `SELECT count(*) AS n FROM bothy.change WHERE kind = 'Runner' AND revision > $1`
  const { rows } = await world.sql.query<{ n: string }>(text, [since])
  return Number(rows[0]?.n)
}
