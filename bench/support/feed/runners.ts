// A load process: runners without hosts. Their client, informer, credential and heartbeat are the real ones.
import { createClient } from '../../../src/client/create-client.ts'
import { createInformer, type Informer } from '../../../src/core/informer.ts'
import type { Store } from '../../../src/core/store.ts'
import { writeStatus } from '../../../src/core/write.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { createCredential } from '../../../src/runner/credential.ts'
import { runHeartbeat } from '../../../src/runner/heartbeat.ts'
import type { RunnerIdentityFile } from '../../../src/runner/identity.ts'
import { NAMESPACE, nowUs } from './load.ts'
import { offer } from './rpc.ts'
import type { Address } from './server-process.ts'

export type Identity = Pick<RunnerIdentityFile, 'runner' | 'signingKey'>

export interface RunnersInput {
  readonly address: Address
  readonly identities: readonly Identity[]
  /** Statuses written, of all runners together. */
  readonly statusesPerSecond: number
  /** Between the first heartbeats of two runners, so that they do not come all at once. */
  readonly staggerMs: number
}

interface FakeRunner {
  readonly store: Store
  readonly informer: Informer<'Environment'>
}

const runners: FakeRunner[] = []
let heartbeats: number[] = []
let statuses: number[] = []
let failures: string[] = []
let paused = false
const under = new Set<Promise<void>>()

function startRunner({ address }: RunnersInput, identity: Identity, delayMs: number): FakeRunner {
  const client = createClient({
    server: address.server,
    ca: address.ca,
    credential: createCredential(identity),
  })
  const { store } = client
  const scope = { namespace: NAMESPACE, fields: { 'spec.runner': identity.runner.name } }
  const informer = createInformer({ store, kind: 'Environment', scope, clock: systemClock, log: silentLog })
  const signal = new AbortController().signal
  const request: typeof client.request = async (...args) => {
    const sentUs = nowUs()
    const answer = await client.request<never>(...args)
    heartbeats.push((nowUs() - sentUs) / 1000)
    return answer
  }
  void informer.run(signal)
  void systemClock
    .sleep(delayMs)
    .then(() => runHeartbeat({ client: { request }, clock: systemClock, log: silentLog, signal }))
  return { store, informer }
}

async function writeStatuses(perSecond: number): Promise<void> {
  const periodUs = 1e6 / perSecond
  for (let dueUs = nowUs(); ; dueUs = Math.max(dueUs + periodUs, nowUs() - periodUs)) {
    const waitMs = (dueUs - nowUs()) / 1000
    if (waitMs > 0) await systemClock.sleep(waitMs)
    if (paused) return
    const writing = writeOne().then(() => void under.delete(writing))
    under.add(writing)
  }
}

async function writeOne(): Promise<void> {
  const runner = pick(runners)
  const environment = runner && pick(runner.informer.list())
  if (runner === undefined || environment === undefined) return
  const sentUs = nowUs()
  try {
    await writeStatus(runner.store, environment, ({ status }) => ({ ...status, epoch: status.epoch + 1 }))
    statuses.push((nowUs() - sentUs) / 1000)
  } catch (error) {
    failures.push(String(error))
  }
}

function pick<T>(list: readonly T[]): T | undefined {
  return list[Math.floor(Math.random() * list.length)]
}

offer({
  /** Resolves when all of them know their environments; answers how many they are. */
  start: async (input: RunnersInput) => {
    for (const [index, identity] of input.identities.entries())
      runners.push(startRunner(input, identity, index * input.staggerMs))
    await Promise.all(runners.map(({ informer }) => informer.synced))
    if (input.statusesPerSecond > 0) void writeStatuses(input.statusesPerSecond)
    return runners.reduce((sum, { informer }) => sum + informer.list().length, 0)
  },
  /** Latencies since the last call, in milliseconds. */
  take: () => {
    const taken = { heartbeats, statuses, failures }
    heartbeats = []
    statuses = []
    failures = []
    return taken
  },
  /** Writes no more statuses; resolves when the last one is answered. */
  pause: async () => {
    paused = true
    await Promise.all(under)
  },
  /** The revision that each runner knows of each of its environments. */
  state: () =>
    runners.map(({ informer }) =>
      informer.list().map(({ metadata }) => [metadata.name, metadata.resourceVersion] as const),
    ),
})
