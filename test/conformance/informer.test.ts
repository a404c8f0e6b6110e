// Informers of Kubernetes' client library: caches that follow the server, whatever happens in between.
import { randomInt } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import {
  type Informer,
  type KubernetesListObject,
  type KubernetesObject,
  KubernetesObjectApi,
  ListWatch,
  makeInformer,
  type ObjectCache,
  Watch,
} from '@kubernetes/client-node'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { jsonEqual } from '../../src/api/json-equal.ts'
import { kubeConfig } from '../support/client-node.ts'
import { type CuttingProxy, startCuttingProxy } from '../support/cutting-proxy.ts'
import { environment, MERGE, pathOf, type ServerFixture, startServer } from '../support/server.ts'

let server: ServerFixture
let proxy: CuttingProxy
let followers: Follower[] = []

beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server?.close())
beforeEach(async () => {
  proxy = await startCuttingProxy(() => server.url())
})
afterEach(async () => {
  await Promise.all(followers.map(each => each.stop()))
  followers = []
  await proxy.close()
  for (const name of Object.keys(await stored())) await call('DELETE', name)
})

type Versions = Record<string, string>
type Cache = Informer<KubernetesObject> & ObjectCache<KubernetesObject>

const call = (method: string, name: string | undefined, body?: object) =>
  server.call(method, pathOf('environments', name), {
    token: server.tokens.ada,
    ...(body === undefined ? {} : { body }),
    ...(method === 'PATCH' ? { headers: MERGE } : {}),
  })
const create = (name: string) => call('POST', undefined, environment(name))
const change = (name: string) => call('PATCH', name, { spec: { env: { N: String(randomInt(1e9)) } } })

/** Names of what is stored, with their versions. */
async function stored(): Promise<Versions> {
  const { status, text, body } = await call('GET', undefined)
  expect(status, text).toBe(200)
  return versionsOf(body.items)
}

function versionsOf(objects: readonly KubernetesObject[]): Versions {
  return Object.fromEntries(
    objects.map(({ metadata }) => [metadata?.name ?? '', metadata?.resourceVersion ?? '']),
  )
}

/** An informer, kept going as its documentation tells users to: started again after each error. */
class Follower {
  readonly #informer: Cache
  readonly #news = new EventEmitter()
  readonly #latest = new Map<string, bigint>()
  #isHeld = false
  #isStopped = false
  lists = 0
  errors: unknown[] = []
  /** Events that came twice, or after a later one. */
  readonly disorder: string[] = []

  constructor(make: (list: () => Promise<KubernetesListObject<KubernetesObject>>) => Cache) {
    const objects = KubernetesObjectApi.makeApiClient(kubeConfig(server, { url: proxy.url }))
    this.#informer = make(() => {
      this.lists++
      return objects.list('bothy.dev/v1alpha1', 'Environment', 'default')
    })
    for (const event of ['add', 'update', 'delete'] as const)
      this.#informer.on(event, object => {
        const { name, resourceVersion } = object.metadata!
        const version = BigInt(resourceVersion!)
        if (event !== 'delete' && version <= (this.#latest.get(name!) ?? 0n))
          this.disorder.push(`${event} ${name} ${version} after ${this.#latest.get(name!)}`)
        this.#latest.set(name!, version)
        this.#news.emit('news')
      })
    this.#informer.on('error', error => {
      this.errors.push(error)
      this.#news.emit('news')
      if (!this.#isHeld) this.#startSoon()
    })
    followers.push(this)
  }

  #startSoon(): void {
    setTimeout(() => {
      if (!this.#isStopped) this.start()
    }, 20)
  }

  start(): void {
    void this.#informer.start()
  }

  /** Not to be started after errors until `start` is called again. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#informer.stop()
  }

  /** Waits until the cache is `expected`, and shows what it is instead when it does not become that. */
  async comesTo(expected: Versions): Promise<void> {
    await this.until(() => {
      const is = versionsOf(this.#informer.list())
      return jsonEqual(is, expected)
    }).catch(() => undefined) // What it is says more than that time is up.
    expect(versionsOf(this.#informer.list())).toEqual(expected)
  }

  async until(holds: () => boolean): Promise<void> {
    const signal = AbortSignal.timeout(20_000)
    while (!holds()) await once(this.#news, 'news', { signal })
  }
}

const PATH = pathOf('environments')
const informer = () => new Follower(list => makeInformer(kubeConfig(server, { url: proxy.url }), PATH, list))

test('it holds what is there, and hears of what changes', async () => {
  await create('a')
  const follower = informer()
  follower.start()
  await follower.comesTo(await stored())
  await create('b')
  await change('a')
  await follower.comesTo(await stored())
  await call('DELETE', 'a')
  await follower.comesTo(await stored())
  expect(Object.keys(await stored())).toEqual(['b'])
  expect([follower.lists, follower.errors, follower.disorder]).toEqual([1, [], []])
})

/** Starts it, and sees a change arrive by its watch: then the list is behind it. */
async function watching(follower: Follower): Promise<void> {
  follower.start()
  await follower.comesTo(await stored())
  await change('a')
  await follower.comesTo(await stored())
}

/** Cuts it off, until `found`. */
async function lost(follower: Follower): Promise<void> {
  follower.hold(true)
  proxy.admit(false)
  expect(proxy.cut()).toBeGreaterThan(0)
  await follower.until(() => follower.errors.length > 0)
}

function found(follower: Follower): void {
  proxy.admit(true)
  follower.hold(false)
  follower.start()
}

test('it goes on where it was after its connection was cut', async () => {
  await create('a')
  await create('b')
  const follower = informer()
  await watching(follower)
  await lost(follower)
  await change('a')
  await call('DELETE', 'b')
  await create('c')
  found(follower)
  await follower.comesTo(await stored())
  expect([follower.lists, follower.disorder]).toEqual([1, []])
})

test('it comes back from a connection that died in silence', async () => {
  await create('a')
  const watch = new Watch(kubeConfig(server, { url: proxy.url }))
  // Half a minute by default.
  ;(watch as unknown as { requestTimeoutMs: number }).requestTimeoutMs = 500
  const follower = new Follower(list => new ListWatch(PATH, watch, list, false))
  await watching(follower)
  proxy.stall()
  await change('a')
  await create('b')
  await follower.comesTo(await stored())
  expect([follower.lists, follower.disorder]).toEqual([1, []])
})

test('it survives a restart of the server', async () => {
  await create('a')
  const follower = informer()
  await watching(follower)
  await server.restart()
  await create('b')
  await call('DELETE', 'a')
  await follower.comesTo(await stored())
  expect([follower.lists, follower.disorder]).toEqual([1, []])
})

test('it lists again when what it missed is no longer known', async () => {
  await create('a')
  await create('b')
  const follower = informer()
  follower.start()
  await follower.comesTo(await stored())
  await lost(follower)
  await call('DELETE', 'a')
  await change('b')
  await create('c')
  await server.database.compact(0, 0)
  found(follower)
  await follower.comesTo(await stored())
  expect([follower.lists, follower.disorder]).toEqual([2, []])
})

test('many write, connections are cut, the server restarts, the log is compacted: nothing is missed, doubled or out of order', async () => {
  const several = [informer(), informer(), informer()]
  for (const each of several) each.start()
  const names = Array.from({ length: 12 }, (_, at) => `e${at}`)
  // A request that the restart breaks off may or may not have been done: the server knows.
  const attempt = (request: Promise<unknown>) => request.catch(() => undefined)
  const write = async () => {
    for (let count = 0; count < 40; count++) {
      const name = names[randomInt(names.length)]!
      const dice = randomInt(10)
      if (dice < 4) await attempt(create(name))
      else if (dice < 8) await attempt(change(name))
      else await attempt(call('DELETE', name))
    }
  }
  const storm = Promise.all(Array.from({ length: 8 }, write))
  const misfortune = async () => {
    for (let count = 0; count < 3; count++) {
      await several[count]!.until(() => true)
      for (let at = 0; at < 10; at++) await attempt(change(names[at]!))
      proxy.cut()
      if (count === 0) await server.database.compact(0, 0)
      if (count === 1) await server.restart()
    }
  }
  await Promise.all([storm, misfortune()])
  const final = await stored()
  for (const each of several) {
    await each.comesTo(final)
    expect(each.disorder).toEqual([])
    expect(each.errors.length).toBeGreaterThan(0)
  }
})

test('a watch sends what is there, says when that is all, and goes on from the bookmark', async () => {
  await create('a')
  await create('b')
  const watch = new Watch(kubeConfig(server))
  type Line = [
    type: string,
    name: string | undefined,
    annotations: object | undefined,
    version: string | undefined,
  ]
  const open = async (query: Record<string, string | boolean>) => {
    const lines: Line[] = []
    const news = new EventEmitter()
    const request = await watch.watch(
      PATH,
      query,
      (type: string, { metadata }: KubernetesObject) => {
        lines.push([type, metadata?.name, metadata?.annotations, metadata?.resourceVersion])
        news.emit('news')
      },
      () => undefined,
    )
    const until = async (count: number) => {
      while (lines.length < count) await once(news, 'news', { signal: AbortSignal.timeout(10_000) })
      return lines
    }
    return { until, end: () => request.abort() }
  }
  const initial = await open({
    sendInitialEvents: true,
    resourceVersionMatch: 'NotOlderThan',
    allowWatchBookmarks: true,
  })
  const [first, second, bookmark] = await initial.until(3)
  expect([first?.slice(0, 2), second?.slice(0, 2)]).toEqual([
    ['ADDED', 'a'],
    ['ADDED', 'b'],
  ])
  expect(bookmark).toEqual([
    'BOOKMARK',
    undefined,
    { 'k8s.io/initial-events-end': 'true' },
    expect.stringMatching(/^\d+$/),
  ])
  initial.end()
  await change('a')
  const later = await open({ resourceVersion: bookmark![3]!, allowWatchBookmarks: true })
  expect((await later.until(1))[0]?.slice(0, 2)).toEqual(['MODIFIED', 'a'])
  later.end()
})
