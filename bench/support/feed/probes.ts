// A load process: somebody who asks now and then, and measures how long the answers take.
import { Agent } from 'node:https'
import { systemClock } from '../../../src/lib/clock.ts'
import { ENVIRONMENTS, nameOf, nowUs, open, send } from './load.ts'
import { offer } from './rpc.ts'
import type { Address } from './server-process.ts'

export interface ProbesInput {
  readonly address: Address
  readonly objects: number
  readonly seconds: number
  /** 0: none. */
  readonly pageEveryMs: number
}

export interface Probed {
  readonly gets: number[]
  readonly pages: number[]
  /** Of a path that asks neither the database nor who it is: what waiting for the server's thread costs. */
  readonly floor: number[]
  readonly failures: number
}

export interface Listed {
  readonly ms: number
  readonly bytes: number
  readonly items: readonly (readonly [name: string, revision: string])[]
  readonly revision: string
  readonly pages: number
}

const agent = new Agent({ keepAlive: true, maxSockets: 64 })
const GET_EVERY_MS = 20
const FLOOR_EVERY_MS = 50

async function probe({ address, objects, seconds, pageEveryMs }: ProbesInput): Promise<Probed> {
  const until = nowUs() + seconds * 1e6
  let failures = 0
  const every = async (periodMs: number, pathOf: () => string): Promise<number[]> => {
    const latencies: number[] = []
    const under = new Set<Promise<void>>()
    while (nowUs() < until) {
      const sentUs = nowUs()
      // On time also when the last one is still waiting: a stall must not hide the calls that it delays.
      const call = send(address, { agent, method: 'GET', path: pathOf() })
        .then(
          ({ status }) => {
            if (status === 200) latencies.push((nowUs() - sentUs) / 1000)
            else failures++
          },
          () => void failures++,
        )
        .then(() => void under.delete(call))
      under.add(call)
      await systemClock.sleep(periodMs)
    }
    await Promise.all(under)
    return latencies
  }
  const random = () => nameOf(Math.floor(Math.random() * objects))
  const [gets, pages, floor] = await Promise.all([
    every(GET_EVERY_MS, () => `${ENVIRONMENTS}/${random()}`),
    pageEveryMs === 0 ? [] : every(pageEveryMs, () => `${ENVIRONMENTS}?limit=500`),
    every(FLOOR_EVERY_MS, () => '/healthz'),
  ])
  return { gets, pages, floor, failures }
}

interface List {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string }
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly resourceVersion: string }
  }[]
}

async function list({ address, limit }: { address: Address; limit: number }): Promise<Listed> {
  const startedUs = nowUs()
  const parts: string[] = []
  let more = ''
  do {
    const path = `${ENVIRONMENTS}?limit=${limit}${more === '' ? '' : `&continue=${encodeURIComponent(more)}`}`
    const answer = await open(address, { agent, method: 'GET', path })
    const chunks: Buffer[] = []
    for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    if (answer.statusCode !== 200) throw new Error(`list: HTTP ${answer.statusCode} ${body.slice(0, 300)}`)
    parts.push(body)
    more = limit === 0 ? '' : (/"continue":"([^"]*)"/.exec(body)?.[1] ?? '')
  } while (more !== '')
  const ms = (nowUs() - startedUs) / 1000
  const lists = parts.map(each => JSON.parse(each) as List)
  const revisions = new Set(lists.map(each => each.metadata.resourceVersion))
  if (revisions.size !== 1) throw new Error(`list: pages of ${revisions.size} moments`)
  return {
    ms,
    bytes: parts.reduce((sum, each) => sum + Buffer.byteLength(each), 0),
    items: lists.flatMap(each => each.items.map(({ metadata }) => [metadata.name, metadata.resourceVersion])),
    revision: lists[0]?.metadata.resourceVersion ?? '',
    pages: lists.length,
  }
}

offer({ probe, list })
