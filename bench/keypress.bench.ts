// A key press in one environment beside 1, 4 and 16 that compile, one that writes and one that eats memory.
import { systemClock } from '../src/lib/clock.ts'
import { CORES, contest, JOBS, KEY, measure, type Variant, WORK } from './support/contest/contest.ts'
import type { Machine } from './support/contest/contestant.ts'
import { compile, eatMemory, startHog, writeDisk } from './support/contest/hogs.ts'
import { drawPictures } from './support/contest/pictures.ts'
import { report } from './support/report.ts'
import { quiet } from './support/stack.ts'
import { median, quantile, Samples } from './support/stats.ts'

/** `keypress [ROUNDS] [SECONDS]`: 4 rounds of 18 s are the 1,000 keys that each p99 below wants. */
const ROUNDS = Number(process.argv[2] ?? 4)
const SECONDS = Number(process.argv[3] ?? 18)
const MOST = 16
/** The smaller crowds are for the curve, and are looked at less. */
const CROWDS = [
  { compilers: 1, rounds: 2, seconds: SECONDS / 2 },
  { compilers: 4, rounds: 2, seconds: SECONDS / 2 },
  { compilers: MOST, rounds: ROUNDS, seconds: SECONDS },
]
/** Until whoever governs has seen what goes on. */
const SETTLE_MS = 6_000
const OTHERS = 2 // who writes, who eats

const samples = new Samples()
/** Files compiled per second, by variant and crowd. */
const throughput = new Map<string, number[]>()

await contest(1 + MOST + OTHERS, async variants => {
  for (let round = 0; round < ROUNDS; round++) {
    for (const variant of variants.filter(({ name }) => name !== 'quota')) {
      await variant.prepare(CORES)
      await quiet()
      await measure(samples, variant, 'idle', SECONDS)
    }
    for (const { compilers, rounds, seconds } of CROWDS) {
      if (round >= rounds) continue
      for (const own of [false, true]) {
        for (const variant of variants) await beside(variant, compilers, own, seconds)
      }
      process.stderr.write(`\rround ${round + 1} of ${ROUNDS}, beside ${compilers} `)
    }
  }
})
await tell()
process.exit(0)

async function beside(variant: Variant, compilers: number, own: boolean, seconds: number): Promise<void> {
  await variant.prepare(CORES / (1 + compilers + OTHERS))
  const [person, ...neighbours] = variant.contestant.machines
  const start = async (machine: Machine | undefined, argv: readonly string[]) => {
    if (machine === undefined) throw new Error('there are too few machines')
    return startHog(machine, argv)
  }
  const crowd = await Promise.all(neighbours.slice(0, compilers).map(each => start(each, compile(JOBS))))
  const others = await Promise.all([
    start(neighbours[MOST], writeDisk),
    start(neighbours[MOST + 1], eatMemory),
    ...(own ? [start(person, compile(JOBS))] : []),
  ])
  await systemClock.sleep(SETTLE_MS)
  const done = () => crowd.reduce((sum, hog) => sum + hog.done(), 0)
  const before = done()
  const from = performance.now()
  let rate = Number.NaN
  // While somebody types only: what the person has computed, nobody else can.
  await measure(samples, variant, `beside ${compilers}${own ? ' and an own build' : ''}`, seconds, () => {
    rate = (done() - before) / ((performance.now() - from) / 1000)
  })
  const key = `${variant.name}: beside ${compilers}${own ? ' and an own build' : ''}`
  throughput.set(key, [...(throughput.get(key) ?? []), rate])
  await Promise.all([...crowd, ...others].map(hog => hog.stop()))
}

async function tell(): Promise<void> {
  const crowd = `beside ${MOST}`
  const own = `${crowd} and an own build`
  const at = (what: string, variant: string, situation: string, q: number) =>
    quantile(samples.of(`${what}, ${variant}, ${situation}`), q)
  /** How many times better. */
  const than = (what: string, other: string, situation: string) =>
    at(what, other, situation, 0.99) / at(what, 'bothy', situation, 0.99)
  const toIdle = (what: string, q: number) => at(what, 'bothy', crowd, q) / at(what, 'bothy', 'idle', q)
  process.stdout.write('\nfiles that the neighbours compile in a second (median of the rounds)\n')
  for (const [key, rates] of throughput)
    process.stdout.write(`${key.padEnd(46)} ${median(rates).toFixed(1).padStart(8)}\n`)
  const rate = (variant: string) =>
    [...throughput]
      .filter(([key]) => key.startsWith(variant))
      .reduce((sum, [, rates]) => sum + median(rates), 0)
  report(
    'keypress',
    samples,
    {
      'key p99 / idle': toIdle(KEY, 0.99),
      'key p99, own build: quota / bothy': than(KEY, 'quota', own),
      'work p50 / idle': toIdle(WORK, 0.5),
      'neighbours’ files: bothy / docker': rate('bothy') / rate('docker'),
      'key p50 / idle': toIdle(KEY, 0.5),
      'work p99 / idle': toIdle(WORK, 0.99),
      'key p99: quota / bothy': than(KEY, 'quota', crowd),
      'key p99: docker / bothy': than(KEY, 'docker', crowd),
      'key p99, own build: docker / bothy': than(KEY, 'docker', own),
      'keys behind each p99': samples.of(`${KEY}, bothy, ${crowd}`).length,
    },
    [
      { ratio: 'key p99 / idle', most: 3 },
      { ratio: 'key p99, own build: quota / bothy', least: 5 },
      { ratio: 'work p50 / idle', most: 1.3 },
      { ratio: 'neighbours’ files: bothy / docker', least: 0.95 },
    ],
  )
  const subtitle = `${CORES} cores; beside N machines that compile on all cores, one that writes, one that eats memory`
  await drawPictures('keypress', samples, subtitle)
}
