// Bothy as its users have it: a real `bothy up` with a data folder, a home and a command line of its own.
import { execFileSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import type { Key, Kind, Resource } from '../../src/api/resource.ts'
import type { Context } from '../../src/cli/config/contexts.ts'
import { loadContext } from '../../src/cli/config/file.ts'
import { type ApiClient, createClient } from '../../src/client/create-client.ts'
import { shortIdOf } from '../../src/main/host-runner.ts'
import { eventually } from './eventually.ts'
import { leftovers } from './host.ts'
import { testCacheDir, testImage } from './image.ts'
import { testLabel } from './label.ts'
import { type Program, type ProgramOptions, type ProgramResult, startProgram } from './program.ts'

/** The checkout that is tested. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
export const BOTHY = join(ROOT, 'bothy')
/** Where data folders of tests lie: on a disk, not in memory. */
export const STACKS = '/var/tmp'

type RunnerConfig = Readonly<Record<string, unknown>>

export interface StackOptions {
  /** `runner.yaml`, except for the folder of the images: that is the one that all tests share. `folder` is the stack's. */
  readonly runner?: (folder: string) => Promise<RunnerConfig> | RunnerConfig
  /** Images in the pool, as by default: for tests that fetch some. The class `small` then has none to begin with. */
  readonly ownImages?: boolean
  /** Everything lies below a folder that only root can pass, as root's home is. */
  readonly isPrivate?: boolean
  /** Where its folder is made; default: where all are. */
  readonly parent?: string
  /** False: the caller starts it. */
  readonly isStarted?: boolean
  /** More environment variables of its user. */
  readonly env?: Readonly<Record<string, string>>
  /** More arguments of `bothy up`. */
  readonly args?: readonly string[]
}

export interface Stack {
  /** For whatever a test needs beside the data; removed at the end. */
  readonly folder: string
  readonly dataDir: string
  /** Environment variables of its user. */
  readonly env: Readonly<Record<string, string>>
  /** `bothy up`, the latest one. */
  readonly up: Program
  /** Starts `bothy up` (again) and waits until it says so. */
  start(...more: string[]): Promise<void>
  /** A command line: its words are what stands between spaces, or given one by one. */
  bothy(line: string | readonly string[], options?: ProgramOptions): Promise<ProgramResult>
  /** The same, and it must end with 0. Returns its standard output, trimmed. */
  ok(line: string | readonly string[], options?: ProgramOptions): Promise<string>
  /** The same, while it runs. */
  open(line: string | readonly string[], options?: ProgramOptions): Program
  get<K extends Kind>(kind: K, name: string): Promise<Resource<K>>
  until<K extends Kind>(
    kind: K,
    name: string,
    isRight: (found: Resource<K> | undefined) => boolean,
  ): Promise<Resource<K> | undefined>
  context(): Promise<Context>
  /** Of its local runner, as it stands in every name on the host. */
  shortId(): Promise<string>
  /** `bothy down --all`; throws when anything stays on the host. */
  close(): Promise<void>
}

export async function openStack(options: StackOptions = {}): Promise<Stack> {
  const folder = await mkdtemp(join(options.parent ?? STACKS, `${await testLabel()}-`))
  await chmod(folder, options.isPrivate === true ? 0o700 : 0o755)
  const dataDir = join(folder, 'data')
  await mkdir(dataDir)
  await mkdir(join(folder, 'home'), { mode: 0o700 })
  const env = { ...stackEnv(folder), ...options.env }
  const image = options.ownImages === true ? undefined : await testImage()
  const images = image === undefined ? {} : { images: { dir: join(testCacheDir(), 'images') } }
  const config = await options.runner?.(folder)
  // Swap is the whole machine's: only tests of it change that.
  await writeFile(join(dataDir, 'runner.yaml'), stringify({ swap: 'off', ...images, ...config }))

  const open: Stack['open'] = (line, call = {}) =>
    startProgram([BOTHY, ...(typeof line === 'string' ? line.split(' ') : line)], {
      cwd: folder,
      ...call,
      env: { ...env, ...call.env },
    })
  const bothy: Stack['bothy'] = (line, call) =>
    open(line, call)
      .inTime()
      .catch((error: Error) => {
        // Why it did not come to an end is known elsewhere, if anywhere.
        throw new Error(`${error.message}\nbothy up said:\n${up?.said().slice(-8000)}`)
      })
  const ok: Stack['ok'] = async (line, call) => {
    const { code, stdout, stderr } = await bothy(line, call)
    if (code !== 0) throw new Error(`bothy ${String(line)} ended with ${code}: ${stderr}`)
    return stdout.trim()
  }
  const context = async () => {
    const found = await loadContext(join(env.XDG_CONFIG_HOME, 'bothy', 'config.yaml'), 'local')
    if (found === undefined) throw new Error("there is no context 'local'")
    return found
  }
  const withClient = async <T>(use: (client: ApiClient) => Promise<T>): Promise<T> => {
    const { server, ca, token } = await context()
    const client = createClient({ server, ca: ca ?? '', credential: () => token })
    try {
      return await use(client)
    } finally {
      await client.close()
    }
  }
  const keyOf = <K extends Kind>(kind: K, name: string): Key<K> => ({ kind, namespace: 'default', name })

  let up: Program
  const stack: Stack = {
    folder,
    dataDir,
    env,
    get up() {
      return up
    },
    async start(...more) {
      up = open(['up', '--data', dataDir, ...(options.args ?? []), ...more])
      await up.until(/^up {2,}\d/m)
    },
    bothy,
    ok,
    open,
    context,
    get: (kind, name) =>
      withClient(async client => {
        const found = await client.store.find(keyOf(kind, name))
        if (found === undefined) throw new Error(`there is no ${kind} ${name}`)
        return found
      }),
    until: (kind, name, isRight) =>
      withClient(client => eventually(client.store, keyOf(kind, name), isRight)),
    shortId: () => shortIdIn(dataDir),
    close: () => closeStack(stack),
  }
  if (options.isStarted === false) return stack
  try {
    await stack.start()
    if (image !== undefined) await ok('apply -f -', { stdin: testClass('small', image.reference) })
    return stack
  } catch (error) {
    await stack.close()
    throw error
  }
}

/** The environment variables of the user of a stack in that folder. */
export function stackEnv(folder: string) {
  return {
    HOME: join(folder, 'home'),
    XDG_CONFIG_HOME: join(folder, 'home', '.config'),
    PATH: process.env['PATH'] ?? '',
    LANG: 'C.UTF-8',
    BOTHY_LOG: 'info',
    // Shared, so that not every test waits for the same sources to be compiled.
    NODE_COMPILE_CACHE: join(testCacheDir(), 'node'),
  }
}

/** The manifest of a class of small environments. */
export function testClass(name: string, image: string, spec: Readonly<Record<string, unknown>> = {}): string {
  return stringify({
    apiVersion: 'bothy.dev/v1alpha1',
    kind: 'EnvironmentClass',
    metadata: { name },
    spec: { image, memory: '1Gi', disk: '2Gi', pids: 1024, ...spec },
  })
}

/** The short id of the runner whose data that is. */
export async function shortIdIn(dataDir: string): Promise<string> {
  const { runner } = JSON.parse(await readFile(join(dataDir, 'runner', 'identity.json'), 'utf8')) as {
    runner: { uid: string }
  }
  return shortIdOf(runner.uid)
}

/** What is still on the host of a runner with that data, or of anything started for that folder. */
export async function hostRemains(dataDir: string): Promise<string[]> {
  const lines = (...[file, ...args]: string[]) =>
    execFileSync(file!, args, { encoding: 'utf8' })
      .split('\n')
      .filter(line => line.includes(dataDir))
  // No identity: it never was enrolled, and has no name on the host.
  const shortId = await shortIdIn(dataDir).catch(() => undefined)
  return [
    ...(shortId === undefined ? [] : leftovers(shortId)),
    ...lines('losetup', '--list', '--noheadings', '--output', 'NAME,BACK-FILE').map(line => `loop: ${line}`),
    ...lines('cat', '/proc/self/mountinfo').map(line => `mount: ${line}`),
    ...lines('ps', '-eo', 'pid,args').map(line => `process: ${line}`),
  ]
}

async function closeStack({ dataDir, folder, bothy, up }: Stack): Promise<void> {
  const down = await bothy(['down', '--all', '--data', dataDir])
  const { code } = await up.end()
  const remains = await hostRemains(dataDir)
  // The database of a private folder lies elsewhere, and is data: `down` keeps it.
  const database = await realpath(join(dataDir, 'postgres')).catch(() => undefined)
  if (remains.length === 0) {
    if (database !== undefined) await rm(database, { recursive: true, force: true })
    await rm(folder, { recursive: true, force: true })
  }
  if (down.code !== 0) throw new Error(`bothy down --all ended with ${down.code}: ${down.stderr}`)
  if (code !== 0) throw new Error(`bothy up ended with ${code}: ${up.said().slice(-4000)}`)
  if (remains.length > 0) throw new Error(`left on the host:\n${remains.join('\n')}`)
}
