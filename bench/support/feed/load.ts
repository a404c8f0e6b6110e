// What load processes share: the shape of the objects, the time, and bare HTTPS requests.
import type { IncomingMessage } from 'node:http'
import { type Agent, request } from 'node:https'
import { text } from 'node:stream/consumers'
import type { Address } from './server-process.ts'

export const NAMESPACE = 'default'
export const ENVIRONMENTS = `/apis/bothy.dev/v1alpha1/namespaces/${NAMESPACE}/environments`
/** Counts the writes to an object's main part; together with `status.epoch`, all writes to it. */
export const SEQUENCE = 'bench.bothy.dev/sequence'
/** When the write was sent, in microseconds of the clock that all processes share. */
export const SENT = 'bench.bothy.dev/sent'

export const nameOf = (index: number): string => `e-${index}`
export const runnerNameOf = (index: number): string => `r-${index}`

/** Microseconds; the same clock in all processes of the machine. */
export const nowUs = (): number => Number(process.hrtime.bigint() / 1000n)

/** Folds a sequence of revisions into a number: two watchers that saw the same in the same order have the same. */
export function mix(hash: number, revision: number): number {
  return (Math.imul(hash, 31) + revision) | 0
}

export interface Answer {
  readonly status: number
  readonly body: string
}

export interface Call {
  readonly agent: Agent
  readonly method: string
  readonly path: string
  readonly body?: string
  readonly contentType?: string
}

/** The answer's head; its body is still to come. */
export function open({ server, ca, token }: Address, call: Call): Promise<IncomingMessage> {
  const { agent, method, path, body, contentType = 'application/json' } = call
  return new Promise((resolve, reject) => {
    const headers = {
      accept: 'application/json',
      authorization: `Bearer ${token}`,
      ...(body === undefined
        ? {}
        : { 'content-type': contentType, 'content-length': Buffer.byteLength(body) }),
    }
    const outgoing = request(new URL(path, server), { method, ca, agent, headers })
    outgoing.once('response', resolve)
    outgoing.once('error', reject)
    outgoing.end(body)
  })
}

export async function send(address: Address, call: Call): Promise<Answer> {
  const answer = await open(address, call)
  return { status: answer.statusCode ?? 0, body: await text(answer) }
}
