// An environment that was idle for a minute wants every core at once: alone, and beside four that compile.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../src/lib/clock.ts'
import { CORES, contest, first, JOBS, RESULTS, type Variant } from './support/contest/contest.ts'
import { compile, startHog } from './support/contest/hogs.ts'
import { type Crew, hire } from './support/contest/keys.ts'
import { plot } from './support/plot.ts'
import { report } from './support/report.ts'
import { quiet } from './support/stack.ts'
import { quantile, Samples } from './support/stats.ts'

/** `burst [ROUNDS] [IDLE_SECONDS]` */
const ROUNDS = Number(process.argv[2] ?? 4)
const IDLE_SECONDS = Number(process.argv[3] ?? 60)
const NEIGHBOURS = 4
/** Processor time of each of as many processes as there are cores; what it took beyond that is the wait. */
const CPU_MS = 100
const SETTLE_MS = 5_000

const samples = new Samples()
await contest(1 + NEIGHBOURS, async variants => {
  const crews = new Map<Variant, Crew>()
  for (const variant of variants) crews.set(variant, await hire(first(variant.contestant), CORES, CPU_MS))
  for (let round = 0; round < ROUNDS; round++) {
    for (const busy of [false, true]) {
      await systemClock.sleep(IDLE_SECONDS * 1000)
      for (const [variant, crew] of crews) await burst(variant, crew, busy)
    }
    process.stderr.write(`\rround ${round + 1} of ${ROUNDS} `)
  }
  for (const crew of crews.values()) crew.leave()
})

async function burst(variant: Variant, crew: Crew, busy: boolean): Promise<void> {
  const [, ...neighbours] = variant.contestant.machines
  await variant.prepare(CORES / (1 + NEIGHBOURS))
  const hogs = busy ? await Promise.all(neighbours.map(machine => startHog(machine, compile(JOBS)))) : []
  if (busy) await systemClock.sleep(SETTLE_MS)
  else await quiet()
  const waited = (await crew.call()) - CPU_MS
  samples.add(`${variant.name}, ${busy ? `beside ${NEIGHBOURS}` : 'alone'}`, Math.max(waited, 0.1))
  await Promise.all(hogs.map(hog => hog.stop()))
}

const worst = (name: string) => quantile(samples.of(name), 1)
report(
  'burst',
  samples,
  {
    'wait for all idle cores, ms, worst': worst('bothy, alone'),
    'wait beside others, ms, worst': worst(`bothy, beside ${NEIGHBOURS}`),
    'wait alone: quota / bothy': samples.median('quota, alone') / samples.median('bothy, alone'),
    'wait beside others: quota / bothy':
      samples.median(`quota, beside ${NEIGHBOURS}`) / samples.median(`bothy, beside ${NEIGHBOURS}`),
    'wait beside others: docker / bothy':
      samples.median(`docker, beside ${NEIGHBOURS}`) / samples.median(`bothy, beside ${NEIGHBOURS}`),
  },
  [{ ratio: 'wait for all idle cores, ms, worst', most: 100 }],
)
await mkdir(RESULTS, { recursive: true })
await writeFile(
  join(RESULTS, 'burst.svg'),
  plot({
    title: 'From idle to every core',
    subtitle: `${CORES} processes that want ${CPU_MS} ms each after a minute of silence: what they wait beyond that`,
    unit: 'milliseconds',
    rows: samples.names().map(name => {
      const [series = '', situation = ''] = name.split(', ')
      return { label: `${situation}: ${series}`, series, values: samples.of(name) }
    }),
  }),
)
process.exit(0)
