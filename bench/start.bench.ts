// An environment from a cached image and empty content: API call to first output; beside bare crun and docker run.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { keyOf, type Resource } from '../src/api/resource.ts'
import { openExec } from '../src/client/open-exec.ts'
import { ROOT } from '../src/main/paths.ts'
import { bareStart, firstByte } from './support/bare-crun.ts'
import { startDocker } from './support/docker.ts'
import { report } from './support/report.ts'
import { type BenchStack, quiet, startStack } from './support/stack.ts'
import { Samples } from './support/stats.ts'

const ROUNDS = Number(process.argv[2] ?? 25)
const WARM_UP = 2
const NAMESPACE = 'default'
const ECHO = ['/bin/echo', 'here']

const samples = new Samples()
const stack = await startStack()
try {
  const docker = await startDocker(stack.image.layers[0] ?? '')
  try {
    for (let round = -WARM_UP; round < ROUNDS; round++) {
      const keep = round >= 0 ? samples : new Samples()
      await quiet()
      await oneBothy(stack, keep, round)
      await quiet()
      keep.add('bare crun: script to first output', await bareStart(stack.image.layers[0] ?? '', stack.pool))
      await quiet()
      await oneDocker(docker.env, docker.image, keep, round)
      await quiet()
      keep.add('CLI: bothy version', await firstByte([join(ROOT, 'bothy'), 'version'], stack.env))
      keep.add(
        'CLI: node -e (the floor)',
        await firstByte([process.execPath, '-e', 'console.log(1)'], process.env),
      )
      process.stderr.write(`\rround ${round + 1} of ${ROUNDS} `)
    }
  } finally {
    await docker.close()
  }
} finally {
  await stack.close()
}
const of = (name: string) => samples.median(name)
report(
  'start',
  samples,
  {
    'start / bare crun': of('bothy: API create to first output') / of('bare crun: script to first output'),
    'docker run / start': of('docker: run to first output') / of('bothy: API create to first output'),
    'docker start / start again': of('docker: start') / of('bothy: start again (API to Running)'),
    'docker stop / stop': of('docker: stop') / of('bothy: stop (API to Stopped)'),
    'docker exec / exec': of('docker: exec') / of('bothy: exec round trip'),
  },
  [
    { ratio: 'start / bare crun', most: 2.5 },
    { ratio: 'docker run / start', least: 2 },
    { ratio: 'docker start / start again', least: 1 },
    { ratio: 'docker stop / stop', least: 1 },
  ],
)
process.exit(0)

async function oneBothy({ client, imageReference }: BenchStack, keep: Samples, round: number): Promise<void> {
  const name = `bench-${round + WARM_UP}`
  const started = performance.now()
  const created = await client.store.create({
    kind: 'Environment',
    metadata: { name, namespace: NAMESPACE },
    spec: { desired: 'Running', class: 'small', content: { empty: {} }, image: imageReference, env: {} },
  })
  const createdMs = performance.now() - started
  const key = keyOf(created)
  await echo(client, key)
  keep.add('bothy: API create to first output', performance.now() - started)
  keep.add('  create answered', createdMs)
  const running = await until(client, key, environment => environment.status.phase === 'Running')
  for (const { name: stage, started: from, ended } of running.status.stages) {
    if (ended !== undefined) keep.add(`  stage ${stage}`, Date.parse(ended) - Date.parse(from))
  }
  let mark = performance.now()
  await echo(client, key)
  keep.add('bothy: exec round trip', performance.now() - mark)

  mark = performance.now()
  await client.store.update({ ...running, spec: { ...running.spec, desired: 'Stopped' } }, 'main')
  const stopped = await until(client, key, environment => environment.status.phase === 'Stopped')
  keep.add('bothy: stop (API to Stopped)', performance.now() - mark)
  mark = performance.now()
  await client.store.update({ ...stopped, spec: { ...stopped.spec, desired: 'Running' } }, 'main')
  await until(client, key, environment => environment.status.phase === 'Running')
  keep.add('bothy: start again (API to Running)', performance.now() - mark)
  mark = performance.now()
  await client.store.remove(key)
  await gone(client, key)
  keep.add('bothy: delete (API to gone)', performance.now() - mark)
}

async function oneDocker(env: NodeJS.ProcessEnv, image: string, keep: Samples, round: number): Promise<void> {
  const name = `bench-${round + WARM_UP}`
  keep.add('docker: run to first output', await firstByte(['docker', 'run', '--rm', image, ...ECHO], env))
  await quietly(env, ['docker', 'run', '-d', '--init', '--name', name, image, 'sleep', 'infinity'])
  keep.add('docker: exec', await firstByte(['docker', 'exec', name, ...ECHO], env))
  keep.add('docker: stop', await quietly(env, ['docker', 'stop', name]))
  keep.add('docker: start', await quietly(env, ['docker', 'start', name]))
  await quietly(env, ['docker', 'rm', '-f', name])
}

/** Milliseconds until a program has ended. */
function quietly(env: NodeJS.ProcessEnv, argv: readonly string[]): Promise<number> {
  const [file = '', ...args] = argv
  return new Promise((resolve, reject) => {
    const started = performance.now()
    const child = spawn(file, args, { env, stdio: 'ignore' })
    child.once('error', reject)
    child.once('exit', code => {
      if (code === 0) resolve(performance.now() - started)
      else reject(new Error(`${argv.join(' ')}: exit ${code}`))
    })
  })
}

async function echo(
  client: BenchStack['client'],
  key: ReturnType<typeof keyOf<'Environment'>>,
): Promise<void> {
  const grant = await client.entrance(key, 'exec')
  const stream = await openExec(grant, { argv: ECHO }, AbortSignal.timeout(60_000))
  stream.stdin.end()
  stream.stderr?.resume()
  await new Promise((resolve, reject) => {
    stream.stdout.once('data', resolve)
    stream.exit.catch(reject)
  })
  stream.stdout.resume()
  await stream.exit
}

async function until(
  client: BenchStack['client'],
  key: ReturnType<typeof keyOf<'Environment'>>,
  accept: (environment: Resource<'Environment'>) => boolean,
): Promise<Resource<'Environment'>> {
  const options = { namespace: key.namespace, fields: { 'metadata.name': key.name } }
  const { items, at } = await client.store.list('Environment', options)
  const first = items[0]
  if (first !== undefined && accept(first)) return first
  for await (const change of client.store.watch(
    'Environment',
    { ...options, from: at },
    AbortSignal.timeout(60_000),
  )) {
    if (change.type === 'put' && accept(change.object)) return change.object
  }
  throw new Error(`${key.name} did not get there`)
}

async function gone(
  client: BenchStack['client'],
  key: ReturnType<typeof keyOf<'Environment'>>,
): Promise<void> {
  const options = { namespace: key.namespace, fields: { 'metadata.name': key.name } }
  const { items, at } = await client.store.list('Environment', options)
  if (items.length === 0) return
  for await (const change of client.store.watch(
    'Environment',
    { ...options, from: at },
    AbortSignal.timeout(60_000),
  )) {
    if (change.type === 'gone') return
  }
}
