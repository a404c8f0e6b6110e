// A key press in one environment beside 1, 4 and 16 that compile, one that writes and one that eats memory.
import { mkdir, writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../src/lib/clock.ts'
import { ROOT } from '../src/main/paths.ts'
import { bothyMachines } from './support/contest/bothy.ts'
import { compilerImage } from './support/contest/compiler-image.ts'
import type { Contestant } from './support/contest/contestant.ts'
import { dockerMachines } from './support/contest/docker-machines.ts'
import { compile, eatMemory, startHog, writeDisk } from './support/contest/hogs.ts'
import { type Person, sitDown } from './support/contest/keys.ts'
import { takePriority } from './support/contest/priority.ts'
import { startDocker } from './support/docker.ts'
import { plot } from './support/plot.ts'
import { report } from './support/report.ts'
import { quiet, startStack } from './support/stack.ts'
import { quantile, Samples } from './support/stats.ts'

/** `keypress [ROUNDS] [SECONDS]`: 4 rounds of 13 s are the 1,000 keys that each p99 below wants. */
const ROUNDS = Number(process.argv[2] ?? 4)
const SECONDS = Number(process.argv[3] ?? 13)
const MOST = 16
/** With so many who compile; the smaller crowds are for the curve, and are looked at less. */
const CROWDS = [
  { compilers: 1, rounds: 2, seconds: SECONDS / 2 },
  { compilers: 4, rounds: 2, seconds: SECONDS / 2 },
  { compilers: MOST, rounds: ROUNDS, seconds: SECONDS },
]
/** Compilers at a time in each: all cores twice. */
const JOBS = cpus().length * 2
/** Until whoever governs has seen what goes on. */
const SETTLE_MS = 3_000
const OTHERS = 2 // who writes, who eats

interface Variant {
  readonly name: string
  readonly contestant: Contestant
  readonly person: Person
  /** Called with the number of machines that are busy or typed in. */
  readonly prepare: (machines: number) => Promise<void>
}

const samples = new Samples()
/** Files compiled per second, by variant and crowd. */
const throughput = new Map<string, number[]>()
const leavePriority = await takePriority()
const stack = await startStack()
try {
  const image = await compilerImage()
  const docker = await startDocker(image.layers[0] ?? '')
  try {
    const count = 1 + MOST + OTHERS
    const bothy = await bothyMachines(stack, image.reference, count)
    const containers = await dockerMachines(docker, count)
    const inContainers = { contestant: containers, person: await sitDown(containers.machines[0]!) }
    const variants: Variant[] = [
      { name: 'quota', ...inContainers, prepare: n => containers.limit(cpus().length / n) },
      { name: 'docker', ...inContainers, prepare: () => containers.limit(undefined) },
      {
        name: 'bothy',
        contestant: bothy,
        person: await sitDown(bothy.machines[0]!),
        prepare: async () => undefined,
      },
    ]
    for (let round = 0; round < ROUNDS; round++) {
      for (const variant of variants.filter(({ name }) => name !== 'quota')) {
        await variant.prepare(1)
        await quiet()
        await measure(variant, 'idle', SECONDS)
      }
      for (const { compilers, rounds, seconds } of CROWDS) {
        if (round >= rounds) continue
        for (const own of [false, true]) {
          for (const variant of variants) await beside(variant, compilers, own, seconds)
        }
        process.stderr.write(`\rround ${round + 1} of ${ROUNDS}, beside ${compilers} `)
      }
    }
    for (const { person } of variants) person.leave()
  } finally {
    await docker.close()
  }
} finally {
  await stack.close()
  await leavePriority()
}
await tell()
process.exit(0)

async function beside(variant: Variant, compilers: number, own: boolean, seconds: number): Promise<void> {
  const [person, ...neighbours] = variant.contestant.machines
  await variant.prepare(1 + compilers + OTHERS)
  const busy = [
    ...neighbours.slice(0, compilers).map(machine => ({ machine, argv: compile(JOBS), counts: true })),
    { machine: neighbours[MOST]!, argv: writeDisk, counts: false },
    { machine: neighbours[MOST + 1]!, argv: eatMemory, counts: false },
    ...(own ? [{ machine: person!, argv: compile(JOBS), counts: false }] : []),
  ]
  const hogs = await Promise.all(
    busy.map(async ({ machine, argv, counts }) => ({ counts, hog: await startHog(machine, argv) })),
  )
  await systemClock.sleep(SETTLE_MS)
  const done = () => hogs.reduce((sum, { counts, hog }) => sum + (counts ? hog.done() : 0), 0)
  const before = done()
  const from = performance.now()
  await measure(variant, `beside ${compilers}${own ? ' and an own build' : ''}`, seconds)
  const rate = (done() - before) / ((performance.now() - from) / 1000)
  const key = `${variant.name}: files a second, ${compilers} compile${own ? ', and an own build' : ''}`
  throughput.set(key, [...(throughput.get(key) ?? []), rate])
  await Promise.all(hogs.map(({ hog }) => hog.stop()))
}

async function measure({ name, person }: Variant, what: string, seconds: number): Promise<void> {
  await Promise.all([
    person.type(seconds * 1000, ms => samples.add(`key, ${name}, ${what}`, ms)),
    person.work(seconds * 1000, ms => samples.add(`20 ms of work, ${name}, ${what}`, ms)),
  ])
}

async function tell(): Promise<void> {
  const at = (name: string, q: number) => quantile(samples.of(name), q)
  const crowd = `beside ${MOST}`
  const own = `${crowd} and an own build`
  const rate = (variant: string) =>
    [...throughput]
      .filter(([key]) => key.startsWith(variant))
      .reduce((sum, [, rates]) => sum + quantile(rates, 0.5), 0)
  process.stdout.write('\nfiles compiled by the neighbours, a second (median of the rounds)\n')
  for (const [key, rates] of throughput)
    process.stdout.write(`${key.padEnd(60)} ${quantile(rates, 0.5).toFixed(1).padStart(8)}\n`)
  report(
    'keypress',
    samples,
    {
      'key p99 / idle': at(`key, bothy, ${crowd}`, 0.99) / at('key, bothy, idle', 0.99),
      'key p99, own build: quota / bothy': at(`key, quota, ${own}`, 0.99) / at(`key, bothy, ${own}`, 0.99),
      'work p50 / idle': at(`20 ms of work, bothy, ${crowd}`, 0.5) / at('20 ms of work, bothy, idle', 0.5),
      'neighbours’ files: bothy / docker': rate('bothy') / rate('docker'),
      'key p99: docker / bothy': at(`key, docker, ${crowd}`, 0.99) / at(`key, bothy, ${crowd}`, 0.99),
      'key p99: quota / bothy': at(`key, quota, ${crowd}`, 0.99) / at(`key, bothy, ${crowd}`, 0.99),
      'key p99, own build: docker / bothy': at(`key, docker, ${own}`, 0.99) / at(`key, bothy, ${own}`, 0.99),
      'key p50 / idle': at(`key, bothy, ${crowd}`, 0.5) / at('key, bothy, idle', 0.5),
      'work p99 / idle': at(`20 ms of work, bothy, ${crowd}`, 0.99) / at('20 ms of work, bothy, idle', 0.99),
      keys: samples.of(`key, bothy, ${crowd}`).length,
    },
    [
      { ratio: 'key p99 / idle', most: 3 },
      { ratio: 'key p99, own build: quota / bothy', least: 5 },
      { ratio: 'work p50 / idle', most: 1.3 },
      { ratio: 'neighbours’ files: bothy / docker', least: 0.95 },
    ],
  )
  await mkdir(join(ROOT, 'bench/results'), { recursive: true })
  for (const [what, title] of [
    ['key', 'A key press, until it shows'],
    ['20 ms of work', '20 ms of work, from asking to done'],
  ] as const) {
    const rows = samples
      .names()
      .filter(name => name.startsWith(`${what}, `))
      .map(name => ({ name, label: name.slice(what.length + 2), series: name.split(', ')[1] ?? '' }))
      .sort((a, b) =>
        a.label.slice(a.series.length).localeCompare(b.label.slice(b.series.length), 'en', { numeric: true }),
      )
      .map(({ name, label, series }) => ({ label, series, values: samples.of(name) }))
    const subtitle = `${cpus().length} cores; beside N environments that compile on all cores, one that writes, one that eats memory`
    const file = join(ROOT, 'bench/results', `keypress-${what === 'key' ? 'key' : 'work'}.svg`)
    await writeFile(file, plot({ title, subtitle, unit: 'milliseconds', rows }))
    process.stderr.write(`wrote ${file}\n`)
  }
}
