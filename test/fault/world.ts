// A `bothy up` to break, and what should be true of it: which environments there are, in which state, and what lies in
// them. Whatever was done to it, `settled` waits until host and API agree with that, and with nothing else.
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, vi } from 'vitest'
import type { Key, Resource } from '../../src/api/resource.ts'
import { type ApiClient, createClient } from '../../src/client/create-client.ts'
import { openExec } from '../../src/client/open-exec.ts'
import { testLabel } from '../support/label.ts'
import { openStack, STACKS, type Stack, type StackOptions } from '../support/stack.ts'
import { type Failpoints, openFailpoints } from './failpoints.ts'
import { type HostFacts, hostFacts } from './host-facts.ts'
import { frozen, kill, signal, type Victim } from './processes.ts'

type Environment = Resource<'Environment'>

/** An environment as it should be. */
export interface Known {
  readonly name: string
  readonly uid: string
  desired: 'Running' | 'Stopped'
  /** The latest that was seen. */
  epoch: number
  /** Of the sandbox that was seen; absent: another one may run by now. */
  initPid?: number
}

export interface World {
  readonly stack: Stack
  readonly failpoints: Failpoints
  readonly known: Map<string, Known>
  /** Creates it and makes it known; the answer may get lost, the environment may not. */
  create(name: string, content?: Environment['spec']['content']): Promise<Known>
  desire(known: Known, desired: 'Running' | 'Stopped'): Promise<void>
  remove(known: Known): Promise<void>
  find(name: string): Promise<Environment | undefined>
  /** Waits until the API says so, whatever happens to the server meanwhile. */
  until(name: string, isRight: (found: Environment | undefined) => boolean): Promise<Environment | undefined>
  /** What a script prints inside. */
  say(name: string, script: string): Promise<string>
  /** Writes a file where people keep their work and one where root keeps its own. */
  mark(known: Known): Promise<void>
  /** Waits until everything that is known is as it should be, on the host and in the API, and nothing else is there. */
  settled(): Promise<void>
  /** Orders `point` to freeze whoever passes it, does `body`, kills `victim` at that moment, and brings Bothy back. */
  strike(point: string, victim: Victim, body: () => Promise<void>, after?: number): Promise<void>
  client<T>(use: (client: ApiClient) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Tries until it does not throw; then it throws what it threw last. Also in hooks, where `expect.poll` will not. */
const waitFor = <T>(attempt: () => Promise<T>): Promise<T> =>
  vi.waitFor(attempt, { timeout: 40_000, interval: 50 })
const MARKER = 'kept by its environment'

export async function openWorld(options: StackOptions = {}): Promise<World> {
  const dir = await mkdtemp(join(STACKS, `${await testLabel()}-points-`))
  await chmod(dir, 0o755)
  const failpoints = await openFailpoints(join(dir, 'failpoints'))
  // A port of its own: one that is free for the taking may be somebody else's when the server is started again.
  const listen = ['--listen', `127.0.0.1:${20_000 + (process.pid % 10_000)}`]
  const args = [...listen, ...(options.args ?? [])]
  const stack = await openStack({
    ...options,
    args,
    env: { ...options.env, BOTHY_FAILPOINTS: failpoints.dir },
  })
  return worldOf(stack, failpoints)
}

export function worldOf(stack: Stack, failpoints: Failpoints): World {
  const known = new Map<string, Known>()
  const keyOf = (name: string): Key<'Environment'> => ({ kind: 'Environment', namespace: 'default', name })

  const client: World['client'] = async use => {
    const { server, ca, token } = await stack.context()
    const opened = createClient({ server, ca: ca ?? '', credential: () => token })
    try {
      return await use(opened)
    } finally {
      await opened.close()
    }
  }
  const find = (name: string) => client(({ store }) => store.find(keyOf(name)))

  const until: World['until'] = async (name, isRight) => {
    let found: Environment | undefined | Error
    const look = async () => {
      // The server may be away: then it is asked again.
      found = await find(name).catch((error: Error) => error)
      return !(found instanceof Error) && isRight(found)
    }
    await waitFor(async () => {
      if (!(await look())) throw new Error(`environment ${name} is ${JSON.stringify(found, null, 1)}`)
    })
    return found as Environment | undefined
  }

  /** Again and again until the server has answered. */
  const insist = <T>(what: (store: ApiClient['store']) => Promise<T>): Promise<T> =>
    waitFor(() => client(({ store }) => what(store)))

  const world: World = {
    stack,
    failpoints,
    known,
    find,
    until,
    client,
    async create(name, content = { empty: {} }) {
      const found = await insist(async store => {
        // An answer that got lost is no reason to make a second one.
        const made = await store.find(keyOf(name))
        const metadata = { name, namespace: 'default' }
        const spec = { content } as Environment['spec']
        return made ?? store.create({ kind: 'Environment', metadata, spec })
      })
      const made: Known = { name, uid: found.metadata.uid, desired: 'Running', epoch: 0 }
      known.set(name, made)
      return made
    },
    async desire(of, desired) {
      of.desired = desired
      delete of.initPid
      await insist(async store => {
        const found = (await store.find(keyOf(of.name))) as Environment
        if (found.spec.desired !== desired)
          await store.update({ ...found, spec: { ...found.spec, desired } }, 'main')
      })
    },
    async remove(of) {
      known.delete(of.name)
      await insist(async store => {
        const found = await store.find(keyOf(of.name))
        if (found !== undefined && found.metadata.deletionTimestamp === undefined)
          await store.remove(keyOf(of.name))
      })
    },
    say: (name, script) =>
      client(async opened => {
        const grant = await opened.entrance(keyOf(name), 'exec')
        const never = new AbortController().signal
        const stream = await openExec(grant, { argv: ['/bin/sh', '-c', script] }, never)
        stream.stdin.end()
        const [stdout, stderr, exit] = await Promise.all([
          text(stream.stdout),
          text(stream.stderr!),
          stream.exit,
        ])
        if (!('code' in exit) || exit.code !== 0)
          throw new Error(`${script} in ${name}: ${JSON.stringify(exit)} ${stderr}`)
        return stdout.trim()
      }),
    async mark({ name }) {
      await world.say(name, `for f in /workspaces/marker /etc/marker; do echo '${MARKER}' > $f; done`)
    },
    async settled() {
      const list = () => insist(store => store.list('Environment', { namespace: 'default' }))
      await waitFor(async () => {
        // Host before API: what the API says may be from before whatever was done to them.
        const facts = await hostFacts(stack)
        expect(forgetPids(facts)).toEqual(expected([...known.values()]))
        const { items } = await list()
        expect(items.map(inShort).toSorted()).toEqual(
          [...known.values()].map(each => inShort(asKnown(each, facts, items))).toSorted(),
        )
        for (const each of known.values()) learn(each, facts, items)
      })
    },
    async strike(point, victim, body, after = 0) {
      await failpoints.order(point, `stop after ${after}`)
      const doing = body()
      doing.catch(() => undefined) // Told below.
      const pid = await frozen(stack)
      await kill(stack, victim)
      signal(pid, 'SIGCONT')
      if (victim === 'runner' || victim === 'everything') await stack.start()
      await doing
      expect(await failpoints.clear()).toEqual([])
    },
    async close() {
      await stack.close()
      await rm(dirname(failpoints.dir), { recursive: true, force: true })
    },
  }
  return world
}

/** What of an environment is compared: who it is, in which state, and that this is about the latest wish. */
function inShort({ metadata, spec, status }: Environment): string {
  const told = status.observedGeneration === metadata.generation ? 'told' : 'not told'
  return [metadata.name, metadata.uid, spec.desired, status.phase, `epoch ${status.epoch}`, told].join(' ')
}

/** As it should be: in the epoch that the host runs, else in the latest that was seen. */
function asKnown({ uid, name, desired, epoch }: Known, { epochs }: HostFacts, items: readonly Environment[]) {
  const found = items.find(({ metadata }) => metadata.uid === uid)
  const running = Number(epochs.find(line => line.startsWith(uid))?.split(' ')[1])
  // A stopped one may have passed through epochs that nobody saw; never backwards.
  const right = desired === 'Running' ? running : Math.max(epoch, found?.status.epoch ?? 0)
  return {
    metadata: { name, uid, generation: 1 },
    spec: { desired },
    status: { phase: desired, epoch: right, observedGeneration: 1 },
  } as Environment
}

function learn(each: Known, { inits }: HostFacts, items: readonly Environment[]): void {
  const { epoch } = (items.find(({ metadata }) => metadata.uid === each.uid) as Environment).status
  expect(epoch).toBeGreaterThanOrEqual(each.epoch)
  each.epoch = epoch
  if (each.desired !== 'Running') return
  const initPid = Number(inits.find(line => line.startsWith(each.uid))?.split(' ')[1])
  // Nobody may have touched those that nobody asked to touch.
  if (each.initPid !== undefined) expect(`${each.name} ${initPid}`).toBe(`${each.name} ${each.initPid}`)
  each.initPid = initPid
}

/** That the files are there which `mark` wrote. */
export async function expectMarked(world: World, { name }: Known): Promise<void> {
  expect(await world.say(name, 'cat /workspaces/marker /etc/marker')).toBe(`${MARKER}\n${MARKER}`)
}

type Comparable = Omit<HostFacts, 'interfaces' | 'slots' | 'epochs'> & {
  /** Every slot has its interface and the other way round. */
  readonly wired: number | string
}

function forgetPids(facts: HostFacts): Comparable {
  const { inits, interfaces, slots, epochs, ...rest } = facts
  expect(epochs.map(line => line.split(' ')[0])).toEqual(rest.slotOwners)
  const isWired = JSON.stringify(interfaces) === JSON.stringify(slots)
  return {
    ...rest,
    inits: inits.map(line => line.split(' ')[0] ?? ''),
    wired: isWired ? slots.length : `interfaces ${interfaces.join(' ')}, slots ${slots.join(' ')}`,
  }
}

function expected(known: readonly Known[]): Comparable {
  const uids = (which: readonly Known[]) => which.map(({ uid }) => uid).toSorted()
  const running = uids(known.filter(({ desired }) => desired === 'Running'))
  return {
    inits: running,
    keepers: running,
    otherHelpers: [],
    loops: running,
    slotOwners: running,
    runtimeFolders: running,
    runtimeState: running,
    cgroups: running,
    mounts: [],
    folders: uids(known).map(uid => `${uid}: disk.img environment.json`),
    wired: running.length,
  }
}
