// The network's share of a start beside the two bare `ip` calls that wire a link; what a policy adds, what changing one
// costs, what a cached name saves.
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { createLinuxDriver } from '../src/adapters/linux/driver.ts'
import type { NetworkPolicy, Sandbox } from '../src/core/driver.ts'
import { systemClock } from '../src/lib/clock.ts'
import { uuidv7 } from '../src/lib/ids.ts'
import { silentLog } from '../src/lib/log.ts'
import { testImage } from '../test/support/image.ts'
import { FAR_PORTS, openInternet } from '../test/support/internet.ts'
import { report } from './support/report.ts'
import { quiet } from './support/stack.ts'
import { Samples } from './support/stats.ts'

const ROUNDS = Number(process.argv[2] ?? 25)
const FAR = '203.0.113.40'
const POLICY: NetworkPolicy = {
  egress: { otherwise: 'Deny', allow: ['203.0.113.0/24', 'far.test'], deny: ['198.51.100.0/30'] },
  newConnectionsPerSecond: 1000,
}

const signal = new AbortController().signal
const image = await testImage(line => void process.stderr.write(`image: ${line}\n`))
const dir = await mkdtemp('/var/tmp/bothy-bench-')
const internet = await openInternet([FAR], {
  'far.test': { addresses: [FAR] },
  'brief.test': { addresses: [FAR], ttl: 0 },
})
const upstreams = [{ address: internet.network.insideAddress, port: FAR_PORTS.dns }]
const driver = createLinuxDriver({
  shortId: `b${uuidv7().slice(-5)}`,
  dir,
  clock: systemClock,
  log: silentLog,
  network: { permitted: [], upstreams },
})
const samples = new Samples()
const id = uuidv7()
let epoch = 0

try {
  await driver.prepare(signal)
  await driver.ensureDisk(id, 2 ** 30, signal)
  await start('warm-up')
  for (let round = 0; round < ROUNDS; round++) {
    await bareLink()
    await start('start')
    await start('start, with a policy', POLICY)
    for (const [name, policy] of [
      ['change of a policy', { ...POLICY, connections: 100 + round }],
      ['its end', undefined],
      ['a first policy, while it runs', POLICY],
      ['its end', undefined],
    ] as const)
      await timed(name, () => driver.setNetwork(id, policy))
  }
  await names()
} finally {
  for (const each of await driver.list()) await driver.destroy(each)
  await driver.teardown()
  await internet.close()
  await rm(dir, { recursive: true, force: true })
}
const of = (name: string) => samples.median(name)
report(
  'network',
  samples,
  {
    'link / bare link': of('start: network') / of('two bare ip calls'),
    'a policy adds to a start, ms': of('start, with a policy') - of('start'),
    'name asked for / cached': of('name, asked for') / of('name, cached'),
  },
  [{ ratio: 'link / bare link', most: 1.5 }],
)
process.exit(0)

async function timed<T>(name: string, body: () => Promise<T>): Promise<T> {
  const beganMs = performance.now()
  const result = await body()
  samples.add(name, performance.now() - beganMs)
  return result
}

async function start(name: string, network?: NetworkPolicy): Promise<Sandbox> {
  await (await driver.find(id))?.stop(0)
  await quiet()
  const more = network === undefined ? {} : { network }
  const spec = { id, name: 'bench', epoch: ++epoch, image, env: {}, memoryBytes: 2 ** 30, pids: 512, ...more }
  const beganMs = performance.now()
  let link = 0
  const sandbox = await driver.ensure(spec, signal, (stage, startedMs, endedMs) => {
    if (stage === 'network') link = endedMs - startedMs
  })
  if (name === 'warm-up') return sandbox
  samples.add(name, performance.now() - beganMs)
  samples.add(`${name}: network`, link)
  return sandbox
}

/** As the keeper does it, into a namespace that is there already. */
async function bareLink(): Promise<void> {
  await quiet()
  const name = 'bothy-bench'
  execFileSync('ip', ['netns', 'add', name])
  try {
    const outside = `link add bnb0 type veth peer name eth0 netns ${name}\naddr add 198.51.100.253/30 dev bnb0\nlink set bnb0 up\n`
    const inside =
      'link set lo up\naddr add 198.51.100.254/30 dev eth0\nlink set eth0 up\nroute add default via 198.51.100.253\n'
    const beganMs = performance.now()
    execFileSync('ip', ['-batch', '-'], { input: outside })
    execFileSync('ip', ['netns', 'exec', name, 'ip', '-batch', '-'], { input: inside })
    samples.add('two bare ip calls', performance.now() - beganMs)
  } finally {
    execFileSync('ip', ['netns', 'del', name])
  }
}

/** Looked up inside: with a lifetime of nothing, each question goes to the resolver of the test's internet. */
async function names(): Promise<void> {
  const sandbox = await start('start')
  for (const [what, name] of [
    ['name, asked for', 'brief.test'],
    ['name, cached', 'far.test'],
  ] as const) {
    const script = `for i in $(seq ${ROUNDS + 1}); do s=$EPOCHREALTIME; getent ahostsv4 ${name} >/dev/null; e=$EPOCHREALTIME; echo $(( (\${e/./} - \${s/./}) )); done`
    const stream = await sandbox.exec({ argv: ['/bin/bash', '-c', script] }, signal)
    stream.stdin.end()
    for (const line of (await text(stream.stdout)).trim().split('\n').slice(1))
      samples.add(what, Number(line) / 1000)
  }
}
