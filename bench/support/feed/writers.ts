// A load process: writers. Most writes change an environment; some make and remove one.
import { Agent } from 'node:https'
import { systemClock } from '../../../src/lib/clock.ts'
import { ENVIRONMENTS, nameOf, nowUs, SENT, SEQUENCE, send } from './load.ts'
import { offer } from './rpc.ts'
import type { Address } from './server-process.ts'

export interface WritersInput {
  readonly address: Address
  readonly writers: number
  readonly objects: number
  readonly seconds: number
  /** Of all writers together; Infinity: each writes as soon as its last write is answered. */
  readonly perSecond: number
  /** A server that is away is waited for. */
  readonly outage?: boolean
}

export interface Written {
  /** Milliseconds of each write that was answered. */
  readonly latencies: number[]
  /** The revisions that the answers named. */
  readonly revisions: number[]
  readonly problems: readonly string[]
  readonly seconds: number
}

// One write in so many makes an environment, and the next one of that kind removes it.
const CHURN = 10
const RETRY_MS = 50

const agent = new Agent({ keepAlive: true, maxSockets: 1024 })
const sequences = new Map<number, number>()
let churned = 0

async function run(input: WritersInput): Promise<Written> {
  const latencies: number[] = []
  const revisions: number[] = []
  const problems: string[] = []
  const startedUs = nowUs()
  const endUs = startedUs + input.seconds * 1e6
  const periodUs = (input.writers / input.perSecond) * 1e6

  const write = async (index: number): Promise<void> => {
    const sequence = (sequences.get(index) ?? 0) + 1
    const sentUs = nowUs()
    const body = JSON.stringify({
      metadata: { annotations: { [SEQUENCE]: String(sequence), [SENT]: String(sentUs) } },
    })
    const path = `${ENVIRONMENTS}/${nameOf(index)}`
    const call = { agent, method: 'PATCH', path, body, contentType: 'application/merge-patch+json' }
    const answer = await send(input.address, call)
    if (answer.status !== 200) throw new Error(`PATCH: HTTP ${answer.status} ${answer.body.slice(0, 200)}`)
    latencies.push((nowUs() - sentUs) / 1000)
    revisions.push(revisionOf(answer.body))
    sequences.set(index, sequence)
  }
  const make = async (name: string): Promise<void> => {
    const sentUs = nowUs()
    const body = JSON.stringify({
      apiVersion: 'bothy.dev/v1alpha1',
      kind: 'Environment',
      metadata: { name },
      spec: { runner: 'nowhere' },
    })
    const answer = await send(input.address, { agent, method: 'POST', path: ENVIRONMENTS, body })
    if (answer.status !== 201) throw new Error(`POST: HTTP ${answer.status} ${answer.body.slice(0, 200)}`)
    latencies.push((nowUs() - sentUs) / 1000)
    revisions.push(revisionOf(answer.body))
  }
  const remove = async (name: string): Promise<void> => {
    const sentUs = nowUs()
    const answer = await send(input.address, { agent, method: 'DELETE', path: `${ENVIRONMENTS}/${name}` })
    if (answer.status !== 200) throw new Error(`DELETE: HTTP ${answer.status} ${answer.body.slice(0, 200)}`)
    latencies.push((nowUs() - sentUs) / 1000)
  }
  /** Whether a write that got no answer has been carried out is known to the server only. */
  const settle = async (index: number): Promise<void> => {
    for (;;) {
      try {
        const call = { agent, method: 'GET', path: `${ENVIRONMENTS}/${nameOf(index)}` }
        const { status, body } = await send(input.address, call)
        if (status === 200) {
          const found = (JSON.parse(body) as { metadata: { annotations?: Record<string, string> } }).metadata
          sequences.set(index, Number(found.annotations?.[SEQUENCE] ?? 0))
          return
        }
      } catch {
        // Still away.
      }
      await systemClock.sleep(RETRY_MS)
    }
  }

  const writer = async (id: number): Promise<void> => {
    const own = Math.floor((input.objects - id - 1) / input.writers) + 1
    let made: string | undefined
    // Spread evenly, each with a rhythm of its own.
    let dueUs = startedUs + (Number.isFinite(periodUs) ? (periodUs * id) / input.writers : 0)
    for (let round = 0; nowUs() < endUs; round++) {
      if (Number.isFinite(periodUs)) {
        const waitMs = (dueUs - nowUs()) / 1000
        if (waitMs > 0) await systemClock.sleep(waitMs)
        dueUs += periodUs
      }
      const index = id + input.writers * Math.floor(Math.random() * own)
      try {
        if (round % CHURN !== CHURN - 1) await write(index)
        else if (made === undefined) {
          const name = `churn-${id}-${churned++}`
          await make(name)
          made = name
        } else {
          const name = made
          made = undefined
          await remove(name)
        }
      } catch (error) {
        if (input.outage !== true) problems.push(String(error))
        await settle(index)
        // What was due meanwhile is not made up for in one burst.
        dueUs = Math.max(dueUs, nowUs())
      }
    }
  }
  await Promise.all(Array.from({ length: input.writers }, (_, id) => writer(id)))
  return { latencies, revisions, problems, seconds: (nowUs() - startedUs) / 1e6 }
}

function revisionOf(body: string): number {
  return Number(/"resourceVersion":"(\d+)"/.exec(body)?.[1])
}

offer({ run })
