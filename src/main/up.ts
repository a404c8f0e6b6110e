// `bothy up`: server and runner of one machine. They talk over loopback with a real enrolment, as any two do.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createFakeContentSource } from '../adapters/fake/content.ts'
import { createFakeDriver } from '../adapters/fake/driver.ts'
import { createFakeImageStore } from '../adapters/fake/images.ts'
import { type Condition, findCondition } from '../api/conditions.ts'
import type { Resource } from '../api/resource.ts'
import type { Deps, UpOptions } from '../cli/deps.ts'
import { makeFirstEnvironment } from '../cli/first-environment.ts'
import { openSession } from '../cli/session.ts'
import { type ApiClient, createClient } from '../client/create-client.ts'
import { failpoint } from '../lib/failpoint.ts'
import { isFault, toFault } from '../lib/fault.ts'
import { createLog, type Log } from '../lib/log.ts'
import { enrollRunner } from '../runner/enroll.ts'
import { loadIdentity, type RunnerIdentityFile } from '../runner/identity.ts'
import { holdControlSocket } from './control-socket.ts'
import { ensureLocalRunner, LOCAL_RUNNER, NAMESPACE } from './defaults.ts'
import { stopEnvironments, stopSandboxes } from './down.ts'
import { linuxMachinery, type Machinery, runHostRunner } from './host-runner.ts'
import { dataPaths, ROOT } from './paths.ts'
import { type ServerProcess, startServerProcess } from './server-process.ts'

// Making the pool on a slow disk takes seconds; after this the first environment says what it waits for.
const READY_MS = 30_000

/** Runs until `signal` aborts or `bothy down` asks; environments go on unless it was `bothy down`. */
export async function up(deps: Deps, options: UpOptions): Promise<void> {
  if (!options.dev) return upOn(deps, options)
  const dataDir = await mkdtemp(join(tmpdir(), 'bothy-dev-'))
  try {
    await upOn(deps, { ...options, dataDir })
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
}

async function upOn(deps: Deps, options: UpOptions): Promise<void> {
  const { dataDir, listen } = options
  const log = createLog({ name: 'runner', level: deps.env.BOTHY_LOG ?? 'warn' })
  const ending = new AbortController()
  const signal = AbortSignal.any([options.signal, ending.signal])
  const say = (line: string) => void deps.stderr.write(`${line}\n`)
  const startedMs = deps.clock.now()
  let client: ApiClient | undefined
  let machinery: Machinery | undefined
  const ended = Promise.withResolvers<void>()
  const socket = await holdControlSocket(dataPaths(dataDir).control, async ({ all }, tell) => {
    if (client !== undefined) {
      await stopEnvironments(client.store, deps.clock, tell).catch(async (error: unknown) => {
        const { reason, message } = toFault(error)
        if (reason !== 'unavailable' && reason !== 'timeout') throw error
        // Nobody can be told what is wanted; the runner does not start them again, since that needs the server too.
        tell(`${message}: ending the sandboxes without the server; the next 'bothy up' starts them again`)
        if (machinery !== undefined) await stopSandboxes(machinery.driver)
      })
    }
    tell('stopping runner and server')
    ending.abort()
    await ended.promise
    // Only now is it sure that nothing is started while it is taken down.
    if (all) await machinery?.driver.teardown()
  })
  let server: ServerProcess | undefined
  try {
    const args = [
      '--data',
      dataDir,
      ...(listen === undefined ? [] : ['--listen', `${bracketed(listen.host)}:${listen.port}`]),
    ]
    server = await startServerProcess(args, { log, clock: deps.clock, signal })
    const { url, ca, token } = server.ready
    client = createClient({ server: url, ca, credential: () => token })
    say(`server  ${url}  (${seconds(deps, startedMs)})`)
    const identity = await enrolledHere(client, dataDir, url, say)
    machinery = options.dev
      ? fakeMachinery(deps, dataDir)
      : await linuxMachinery(dataDir, identity.runner.uid, deps.clock, log)
    const gateway = { host: '127.0.0.1', port: 0 }
    const running = runHostRunner({ identity, machinery, gateway, clock: deps.clock, log, signal })
    const lacks = await Promise.race([runnerReady(client, signal), running])
    if (lacks !== undefined) say(`error: ${lacks.message}\n  hint: ${lacks.hint ?? 'bothy doctor'}`)
    await first(deps, options, signal, log)
    const after = options.dev
      ? `^C ends all of it, with the data in ${dataDir} (--data is not used)`
      : "^C leaves environments running, 'bothy down' stops them too"
    if (!signal.aborted) say(`up      ${seconds(deps, startedMs)}; ${after}`)
    await running
  } finally {
    await client?.close()
    await server?.stop()
    ended.resolve()
    await new Promise(resolve => socket.close(resolve))
  }
}

/** This machine's identity; a server that does not know it (any more) gives it a new one. */
async function enrolledHere(
  client: ApiClient,
  dataDir: string,
  url: string,
  say: (line: string) => void,
): Promise<RunnerIdentityFile> {
  await ensureLocalRunner(client.store)
  failpoint('up.runner-declared')
  const key = { kind: 'Runner', namespace: NAMESPACE, name: LOCAL_RUNNER } as const
  const runner = await client.store.find(key)
  const dir = dataPaths(dataDir).runner
  const before = await loadIdentity(dir).catch((error: unknown) => {
    if (isFault(error) && error.reason === 'not_found') return undefined
    throw error
  })
  // The port may be another one than last time; the authority is the same, or it is another server.
  if (before !== undefined && before.runner.uid === runner?.metadata.uid) return { ...before, server: url }
  if (before !== undefined) {
    // Its database was replaced. Nothing of what the old one knew is touched: it is all found again when that comes back.
    say(
      `note    the server does not know this machine any more: it is enrolled anew. Environments that are here are kept as`,
    )
    say(
      `        they are, in ${dataPaths(dataDir).host}; with the database that knows them they can be used again`,
    )
  }
  const path = `/apis/bothy.dev/v1alpha1/namespaces/${NAMESPACE}/runners/${LOCAL_RUNNER}/enrollment-token`
  const { token } = await client.request<{ token: string }>('POST', path, { body: {} })
  return enrollRunner({ server: url, token, dir })
}

/** Until the control plane has heard that the runner can work (undefined), or why it cannot. */
async function runnerReady({ store }: ApiClient, signal: AbortSignal): Promise<Condition | undefined> {
  const options = { namespace: NAMESPACE, fields: { 'metadata.name': LOCAL_RUNNER } }
  const { items, at } = await store.list('Runner', options)
  const isReady = ({ status }: Resource<'Runner'>) =>
    findCondition(status.conditions, 'Ready')?.status === 'True'
  if (items.some(isReady)) return undefined
  const ending = AbortSignal.any([signal, AbortSignal.timeout(READY_MS)])
  for await (const { object } of store.watch('Runner', { ...options, from: at }, ending)) {
    if (isReady(object)) return undefined
    const driver = findCondition(object.status.conditions, 'DriverReady')
    if (driver?.status === 'False' && driver.reason !== 'Preparing') return driver
  }
  return undefined
}

async function first(deps: Deps, options: UpOptions, signal: AbortSignal, log: Log): Promise<void> {
  if (options.first === undefined) return
  const session = await openSession(
    { context: 'local' },
    { env: deps.env, warn: message => log.warn({ message }, 'context') },
  )
  try {
    const source = options.first === 'hello' ? join(ROOT, 'examples/hello') : options.first.source
    await makeFirstEnvironment(session, { ...deps, signal }, source, deps.cwd)
  } catch (error) {
    if (signal.aborted) {
      deps.stderr.write("note    not finished: the same 'bothy up' goes on with the first environment\n")
      return
    }
    // What was asked for could not be made; what runs goes on, and can be asked again.
    const { reportFault } = await import('../cli/output/fault.ts')
    reportFault(error, deps)
  } finally {
    await session.close()
  }
}

function fakeMachinery(deps: Deps, dataDir: string): Machinery {
  return {
    driver: createFakeDriver({ dir: join(dataDir, 'fake'), clock: deps.clock }),
    images: createFakeImageStore({ clock: deps.clock }),
    content: createFakeContentSource(),
  }
}

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host)
const seconds = (deps: Deps, sinceMs: number): string =>
  `${((deps.clock.now() - sinceMs) / 1000).toFixed(1)} s`
