// A hundred environments at once: API call to first output of each; beside bare crun and docker run.
import { keyOf } from '../src/api/resource.ts'
import { openExec } from '../src/client/open-exec.ts'
import type { ExecStream } from '../src/core/exec.ts'
import { systemClock } from '../src/lib/clock.ts'
import { isFault } from '../src/lib/fault.ts'
import { type Bare, firstByte, prepareBare } from './support/bare-crun.ts'
import { type Docker, startDocker } from './support/docker.ts'
import { kernelBytes, processes, proportionalBytes } from './support/memory.ts'
import { report } from './support/report.ts'
import { type BenchStack, quiet, startStack } from './support/stack.ts'
import { Samples } from './support/stats.ts'

const COUNT = Number(process.argv[2] ?? 100)
const ROUNDS = Number(process.argv[3] ?? 3)
/** To leave something out while looking for something else. */
const WHAT = (process.argv[4] ?? 'bothy,bare,docker').split(',')
const WAIT_MS = 120_000
// Says something, and stays.
const IDLE = ['/bin/sh', '-c', 'echo here; exec sleep infinity']

const samples = new Samples()
const bytes = new Samples()
let failed = 0
const stack = await startStack()
try {
  const rootfs = stack.image.layers[0] ?? ''
  const docker = WHAT.includes('docker') ? await startDocker(rootfs) : undefined
  try {
    // What only the first pays, in each of them.
    if (WHAT.includes('bothy')) await bothy(stack, 'warm-up', 2, new Samples())
    for (let round = 0; round < ROUNDS; round++) {
      if (WHAT.includes('bothy')) await bothy(stack, `r${round}`, COUNT, samples)
      if (WHAT.includes('bare')) {
        await bare(rootfs, 'bare crun, all at once', COUNT)
        await bare(rootfs, 'bare crun, 4 at a time', 4)
      }
      if (docker !== undefined) {
        // Fewer rounds are enough to see what is many times slower.
        if (round < 2) await manyDocker(docker, 'docker run, all at once', COUNT)
        if (round === 0) await manyDocker(docker, 'docker run, 8 at a time', 8)
      }
      process.stderr.write(`round ${round + 1} of ${ROUNDS}\n`)
    }
  } finally {
    await docker?.close()
  }
} finally {
  await stack.close()
}
const total = (name: string) => samples.median(`${name}: total`)
const ofDocker = Math.min(total('docker run, all at once'), total('docker run, 8 at a time'))
report(
  'many',
  samples,
  {
    'total / bare crun, all at once': total('bothy') / total('bare crun, all at once'),
    'total / bare crun, 4 at a time': total('bothy') / total('bare crun, 4 at a time'),
    'docker run / total': ofDocker / total('bothy'),
    failed,
    ...Object.fromEntries(
      bytes.names().map(name => [`MiB per idle environment: ${name}`, bytes.median(name) / 2 ** 20]),
    ),
  },
  [
    { ratio: 'total / bare crun, all at once', most: 2 },
    { ratio: 'docker run / total', least: 4 },
    { ratio: 'failed', most: 0 },
  ],
)
process.exit(0)

async function bothy({ client, imageReference }: BenchStack, prefix: string, count: number, keep: Samples) {
  await quiet()
  const kernelBefore = await kernelBytes()
  const signal = AbortSignal.timeout(WAIT_MS)
  const begun = performance.now()
  const started = await all(count, count, async number => {
    const environment = await client.store.create({
      kind: 'Environment',
      metadata: { name: `${prefix}-${number}`, namespace: 'default' },
      spec: { desired: 'Running', class: 'small', content: { empty: {} }, image: imageReference, env: {} },
    })
    keep.add('  bothy: create answered', performance.now() - begun)
    const enter = async (): Promise<ExecStream> => {
      const grant = await client.entrance(keyOf(environment), 'exec')
      try {
        return await openExec(grant, { argv: ['/bin/echo', 'here'] }, signal)
      } catch (error) {
        // An entrance waits for half a minute, which is not enough where others use the machine, too.
        if (isFault(error) && error.code === 'environment-starting') return enter()
        throw error
      }
    }
    const stream = await enter()
    keep.add('  bothy: let in', performance.now() - begun)
    stream.stdin.end()
    stream.stderr?.resume()
    await new Promise((resolve, reject) => {
      stream.stdout.once('data', resolve)
      stream.exit.catch(reject)
    })
    keep.add('bothy: API create to first output', performance.now() - begun)
    stream.stdout.resume()
    await stream.exit
    return environment
  })
  keep.add('bothy: total', performance.now() - begun)
  const running = () => client.store.list('Environment', { namespace: 'default' })
  // Who may enter before the API has heard that it runs need not wait for that; the stages are told with it.
  while ((await running()).items.some(({ status }) => status.phase !== 'Running' && failed === 0))
    await systemClock.sleep(20)
  const { items } = await running()
  for (const { status } of items)
    for (const { name, started: from, ended } of status.stages)
      if (ended !== undefined) keep.add(`  stage ${name}`, Date.parse(ended) - Date.parse(from))
  if (keep === samples) {
    const uids = new Set(items.map(each => each.metadata.uid))
    const everybody = await processes()
    const keepers = everybody.filter(
      ({ command }) => command.startsWith('bothy-keeper ') && uids.has(command.slice('bothy-keeper '.length)),
    )
    const inits = everybody.filter(({ parent }) => keepers.some(({ pid }) => pid === parent))
    bytes.add('keeper', (await proportionalBytes(keepers.map(({ pid }) => pid))) / count)
    bytes.add('first process', (await proportionalBytes(inits.map(({ pid }) => pid))) / count)
    bytes.add('kernel', ((await kernelBytes()) - kernelBefore) / count)
  }
  const mark = performance.now()
  await all(started.length, 100, async number => {
    const environment = started[number]
    if (environment !== undefined) await client.store.remove(keyOf(environment))
  })
  for (;;) {
    if ((await client.store.list('Environment', { namespace: 'default' })).items.length === 0) break
    signal.throwIfAborted()
    await systemClock.sleep(20)
  }
  keep.add('bothy: all deleted', performance.now() - mark)
}

async function bare(rootfs: string, name: string, width: number): Promise<void> {
  const prepared: Bare[] = []
  try {
    for (let number = 0; number < COUNT; number++)
      prepared.push(await prepareBare(rootfs, stack.pool, number, IDLE))
    await quiet()
    const kernelBefore = await kernelBytes()
    const begun = performance.now()
    await all(COUNT, width, async number =>
      samples.add(name, (await prepared[number]?.start()) ?? Number.NaN),
    )
    samples.add(`${name}: total`, performance.now() - begun)
    bytes.add('bare crun, kernel', ((await kernelBytes()) - kernelBefore) / COUNT)
  } finally {
    await all(prepared.length, 8, async number => prepared[number]?.close())
  }
}

async function manyDocker({ env, image, dir }: Docker, name: string, width: number): Promise<void> {
  const nameOf = (number: number) => `bench-${number}`
  await quiet()
  const kernelBefore = await kernelBytes()
  const begun = performance.now()
  await all(COUNT, width, async number => {
    await firstByte(
      ['docker', 'run', '-d', '--init', '--name', nameOf(number), image, 'sleep', 'infinity'],
      env,
    )
    await firstByte(['docker', 'exec', nameOf(number), '/bin/echo', 'here'], env)
    samples.add(name, performance.now() - begun)
  })
  samples.add(`${name}: total`, performance.now() - begun)
  const everybody = await processes()
  const shims = everybody.filter(
    ({ command }) => command.includes('containerd-shim') && command.includes(dir),
  )
  const inside = everybody.filter(({ parent }) => shims.some(({ pid }) => pid === parent))
  bytes.add('docker, shim', (await proportionalBytes(shims.map(({ pid }) => pid))) / COUNT)
  bytes.add('docker, first process', (await proportionalBytes(inside.map(({ pid }) => pid))) / COUNT)
  bytes.add('docker, kernel', ((await kernelBytes()) - kernelBefore) / COUNT)
  const names = Array.from({ length: COUNT }, (_, number) => nameOf(number))
  await firstByte(['docker', 'rm', '-f', ...names], env)
}

/** `width` of them at a time; those that fail are counted, and their place in the list stays empty. */
async function all<T>(
  count: number,
  width: number,
  body: (number: number) => Promise<T>,
): Promise<(T | undefined)[]> {
  const results: (T | undefined)[] = Array.from({ length: count }, () => undefined)
  let next = 0
  const worker = async () => {
    while (next < count) {
      const number = next++
      try {
        results[number] = await body(number)
      } catch (error) {
        failed++
        process.stderr.write(`failed: ${error instanceof Error ? error.message : String(error)}\n`)
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker))
  return results
}
