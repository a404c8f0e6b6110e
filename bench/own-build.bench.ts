// A key press beside a build in the same environment, and nobody else on the machine.
import { systemClock } from '../src/lib/clock.ts'
import { CORES, contest, first, JOBS, KEY, measure, WORK } from './support/contest/contest.ts'
import { compile, startHog } from './support/contest/hogs.ts'
import { drawPictures } from './support/contest/pictures.ts'
import { report } from './support/report.ts'
import { quiet } from './support/stack.ts'
import { median, quantile, Samples } from './support/stats.ts'

/** `own-build [ROUNDS] [SECONDS]`: 4 rounds of 18 s are the 1,000 keys that each p99 below wants. */
const ROUNDS = Number(process.argv[2] ?? 4)
const SECONDS = Number(process.argv[3] ?? 18)
/** What a limit leaves to each of two tenants. */
const QUOTA_CORES = CORES / 2
const SETTLE_MS = 2_000
const SITUATION = 'beside an own build'

const samples = new Samples()
const rates = new Map<string, number[]>()
await contest(1, async variants => {
  for (let round = 0; round < ROUNDS; round++) {
    for (const variant of variants) {
      await variant.prepare(QUOTA_CORES)
      await quiet()
      if (variant.name !== 'quota') await measure(samples, variant, 'idle', SECONDS)
      const hog = await startHog(first(variant.contestant), compile(JOBS))
      await systemClock.sleep(SETTLE_MS)
      const [before, from] = [hog.done(), performance.now()]
      let rate = Number.NaN
      await measure(samples, variant, SITUATION, SECONDS, () => {
        rate = (hog.done() - before) / ((performance.now() - from) / 1000)
      })
      rates.set(variant.name, [...(rates.get(variant.name) ?? []), rate])
      await hog.stop()
    }
    process.stderr.write(`\rround ${round + 1} of ${ROUNDS} `)
  }
})
const at = (what: string, variant: string, situation: string, q: number) =>
  quantile(samples.of(`${what}, ${variant}, ${situation}`), q)
const rate = (variant: string) => median(rates.get(variant) ?? [])
process.stdout.write('\nfiles compiled in a second (median of the rounds)\n')
for (const name of rates.keys())
  process.stdout.write(`${name.padEnd(46)} ${rate(name).toFixed(1).padStart(8)}\n`)
report(
  'own-build',
  samples,
  {
    'key p99 / idle': at(KEY, 'bothy', SITUATION, 0.99) / at(KEY, 'bothy', 'idle', 0.99),
    'key p99: quota / bothy': at(KEY, 'quota', SITUATION, 0.99) / at(KEY, 'bothy', SITUATION, 0.99),
    'key p99: docker / bothy': at(KEY, 'docker', SITUATION, 0.99) / at(KEY, 'bothy', SITUATION, 0.99),
    'work p50 / idle': at(WORK, 'bothy', SITUATION, 0.5) / at(WORK, 'bothy', 'idle', 0.5),
    'work p50: docker / bothy': at(WORK, 'docker', SITUATION, 0.5) / at(WORK, 'bothy', SITUATION, 0.5),
    'files: bothy / docker': rate('bothy') / rate('docker'),
  },
  [
    { ratio: 'key p99 / idle', most: 3 },
    { ratio: 'key p99: quota / bothy', least: 5 },
    { ratio: 'work p50 / idle', most: 1.3 },
    { ratio: 'files: bothy / docker', least: 0.95 },
  ],
)
await drawPictures(
  'own-build',
  samples,
  `${CORES} cores; the only machine compiles on all of them; quota: ${QUOTA_CORES} cores`,
)
process.exit(0)
