// Fifty idle environments with a language server each: what they take, and the first answer after a pause.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { EnvironmentUsageList } from '../src/api/usage.ts'
import { systemClock } from '../src/lib/clock.ts'
import { mustRun, runProcess } from '../src/lib/run-process.ts'
import { bothyMachines } from './support/contest/bothy.ts'
import { RESULTS } from './support/contest/contest.ts'
import type { Contestant } from './support/contest/contestant.ts'
import { dockerMachines } from './support/contest/docker-machines.ts'
import {
  type LanguageServer,
  languageServerImage,
  startLanguageServer,
} from './support/contest/language-server.ts'
import { startDocker } from './support/docker.ts'
import { plot } from './support/plot.ts'
import { report } from './support/report.ts'
import { type BenchStack, startStack } from './support/stack.ts'
import { quantile, Samples } from './support/stats.ts'

/** `density [COUNT]` */
const COUNT = Number(process.argv[2] ?? 50)
const AT_ONCE = 2
const SUSPEND_AFTER = '5s'
const MIB = 2 ** 20
const SUSPENDED_MS = 300_000

const samples = new Samples()
/** MiB for each machine, by what holds it. */
const memory = new Map<string, number>()
const image = await languageServerImage()
await compressed()
await swapped()
await plain()

/** Bothy, and a compressed device that its runner sets up. */
async function compressed(): Promise<void> {
  const stack = await startStack({ runner: { swap: 'zram' } })
  try {
    await suspendAndAsk(stack, 'zram', async () =>
      memory.set('zram: compressed', (await zramBytes()) / MIB / COUNT),
    )
  } finally {
    await stack.close()
  }
}

/** Bothy, and a swap file that was there before. */
async function swapped(): Promise<void> {
  const dir = await mkdtemp('/var/tmp/bothy-bench-swap-')
  const file = join(dir, 'swap')
  await mustRun(['fallocate', '-l', `${COUNT * 512}M`, file])
  await mustRun(['chmod', '600', file])
  await mustRun(['mkswap', file])
  await mustRun(['swapon', file])
  try {
    const stack = await startStack({ runner: { swap: 'off' } })
    try {
      await suspendAndAsk(stack, 'swap file', async () => undefined)
    } finally {
      await stack.close()
    }
  } finally {
    await runProcess(['swapoff', file])
    await rm(dir, { recursive: true, force: true })
  }
}

/** Docker, which does nothing about it. */
async function plain(): Promise<void> {
  const docker = await startDocker(image.layers[0] ?? '')
  try {
    const containers = await dockerMachines(docker, COUNT)
    const servers = await startAll(containers)
    await systemClock.sleep(10_000)
    const groups = ['/sys/fs/cgroup/memory/docker', '/sys/fs/cgroup/system.slice', '/sys/fs/cgroup/docker']
    memory.set('docker: resident', (await groupBytes(groups)) / MIB / COUNT)
    for (const server of servers) samples.add('first answer, docker', await server.ask())
    await containers.close()
  } finally {
    await docker.close()
  }
}

async function suspendAndAsk(stack: BenchStack, name: string, weigh: () => Promise<unknown>): Promise<void> {
  await stack.client.store.create({
    kind: 'EnvironmentClass',
    metadata: { name: 'dense', namespace: 'default' },
    // No more is promised than there is for so many.
    spec: {
      image: image.reference,
      memory: '1Gi',
      memoryGuarantee: '64Mi',
      suspendAfter: SUSPEND_AFTER,
    } as never,
  })
  const servers = await startAll(await bothyMachines(stack, image.reference, COUNT, 'dense'))
  const usage = () =>
    stack.client.request<EnvironmentUsageList>(
      'GET',
      '/apis/bothy.dev/v1alpha1/namespaces/default/environmentusages',
    )
  const deadline = systemClock.now() + SUSPENDED_MS
  const isPushedOut = ({ items }: EnvironmentUsageList) =>
    items.length === COUNT &&
    items.every(
      ({
        usage: {
          isFrozen,
          memory: { swapBytes = 0 },
        },
      }) => isFrozen && swapBytes > 50 * MIB,
    )
  let latest = await usage()
  for (; !isPushedOut(latest); latest = await usage()) {
    if (systemClock.now() > deadline) {
      const { items } = latest
      const frozen = items.filter(each => each.usage.isFrozen).length
      throw new Error(
        `${items.length} of ${COUNT} environments, ${frozen} suspended: ${JSON.stringify(items[0])}`,
      )
    }
    await systemClock.sleep(1_000)
  }
  const resident = latest.items.reduce((sum, { usage: { memory } }) => sum + memory.bytes, 0)
  memory.set(`${name}: resident`, resident / MIB / COUNT)
  await weigh()
  for (const server of servers) samples.add(`first answer, ${name}`, await server.ask())
  for (const server of servers) samples.add(`second answer, ${name}`, await server.ask())
}

async function startAll({ name, machines }: Contestant): Promise<LanguageServer[]> {
  const servers: LanguageServer[] = []
  const left = [...machines]
  const start = async () => {
    for (let machine = left.shift(); machine !== undefined; machine = left.shift()) {
      servers.push(await startLanguageServer(machine))
      process.stderr.write(`\r${name}: ${servers.length} of ${COUNT} language servers `)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, start))
  return servers
}

/** What all compressed devices of this host take. */
async function zramBytes(): Promise<number> {
  const names = (await readdir('/sys/block')).filter(each => each.startsWith('zram'))
  const texts = await Promise.all(names.map(each => readFile(`/sys/block/${each}/mm_stat`, 'utf8')))
  return texts.reduce((sum, text) => sum + Number(text.trim().split(/\s+/)[2] ?? 0), 0)
}

async function groupBytes(groups: readonly string[]): Promise<number> {
  for (const group of groups) {
    for (const file of ['memory.usage_in_bytes', 'memory.current']) {
      const text = await readFile(join(group, file), 'utf8').catch(() => undefined) // The other version's.
      if (text !== undefined) return Number(text)
    }
  }
  return Number.NaN
}

process.stdout.write('\nmemory for each machine, MiB\n')
for (const [what, mib] of memory) process.stdout.write(`${what.padEnd(46)} ${mib.toFixed(1).padStart(8)}\n`)
const p95 = (name: string) => quantile(samples.of(`first answer, ${name}`), 0.95)
const held = (memory.get('zram: resident') ?? Number.NaN) + (memory.get('zram: compressed') ?? Number.NaN)
report(
  'density',
  samples,
  {
    'first answer p95 with zram, ms': p95('zram'),
    'first answer p95 with a swap file, ms': p95('swap file'),
    'memory: docker / bothy with zram': (memory.get('docker: resident') ?? Number.NaN) / held,
    'MiB resident with zram': memory.get('zram: resident') ?? Number.NaN,
    'MiB compressed with zram': memory.get('zram: compressed') ?? Number.NaN,
    machines: COUNT,
  },
  [
    { ratio: 'first answer p95 with zram, ms', most: 50 },
    { ratio: 'first answer p95 with a swap file, ms', most: 300 },
  ],
)
await mkdir(RESULTS, { recursive: true })
await writeFile(
  join(RESULTS, 'density.svg'),
  plot({
    title: 'A language server’s first answer after a pause',
    subtitle: `${COUNT} idle machines with one each; suspended ones were frozen, their memory pushed out`,
    unit: 'milliseconds',
    rows: samples
      .names()
      .map(label => ({ label, series: label.split(', ')[1] ?? '', values: samples.of(label) })),
  }),
)
process.exit(0)
