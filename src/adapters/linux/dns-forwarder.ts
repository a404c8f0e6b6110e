// Answers the sandboxes' questions for names from a cache, and asks the host's resolvers for the rest. What policies say
// about names is asked of `gate`, which hears every answer before the sandbox does.
import { randomInt } from 'node:crypto'
import { createSocket, type Socket as Datagrams } from 'node:dgram'
import { createServer, type Server, type Socket } from 'node:net'
import type { Clock, Millis } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import {
  type Answer,
  addressQuery,
  answerFrom,
  emptyAnswer,
  parseAnswer,
  parseQuestion,
  type Question,
  queryFor,
  truncatedAnswer,
} from './dns-message.ts'
import { askOverTcp, askOverUdp, readFrames } from './dns-transport.ts'

/** Decides about one question of the sandbox with that address. */
export interface NameGate {
  /** `hide`: the name is said not to exist; its addresses are learned all the same. */
  verdict(source: string, name: string): 'answer' | 'refuse' | 'hide'
  learn(source: string, name: string, answer: Answer): Promise<void>
}

export interface DnsForwarderOptions {
  readonly address: string
  readonly port: number
  /** Addresses of those who know; asked for at every question that the cache cannot answer. */
  readonly upstreams: () => Promise<readonly Upstream[]>
  readonly gate: NameGate
  readonly clock: Clock
  readonly log: Log
}

export interface Upstream {
  readonly address: string
  readonly port: number
}

interface Kept {
  readonly response: Buffer
  readonly answer: Answer
  readonly atMs: Millis
}

const SERVFAIL = 2
const NXDOMAIN = 3
const MOST_KEPT = 4096
// Longer ones are rare, and what is kept stays below 16 MB.
const MOST_KEPT_BYTES = 4096
// One sandbox that asks without waiting for answers must not keep the others from asking.
const MOST_WAITING = 1024
const MOST_WAITING_OF_ONE = 64
const MOST_CONNECTIONS_OF_ONE = 16
const IDLE_MS: Millis = 5_000
const ROUNDS = 2
const ANSWER_MS: Millis = 2_000
const BIND_AGAIN_MS: Millis = 1_000

export class DnsForwarder {
  readonly #options: DnsForwarderOptions
  readonly #cache = new Map<string, Kept>()
  readonly #asked = new Map<string, Promise<Kept | undefined>>()
  readonly #waiting = new Map<string, number>()
  readonly #connections = new Map<string, number>()
  readonly #closed = new AbortController()
  #total = 0
  #udp: Datagrams | undefined
  #tcp: Server | undefined

  constructor(options: DnsForwarderOptions) {
    this.#options = options
  }

  /**
   * Listens, now or, should somebody else still do so, as soon as possible. Until then sandboxes ask the host's resolvers
   * directly.
   */
  async open(): Promise<void> {
    if (await this.#listen()) return
    const { clock, log, address } = this.#options
    log.warn({ address }, 'names are not cached yet: somebody else listens there')
    void (async () => {
      while (!this.#closed.signal.aborted) {
        await clock.sleep(BIND_AGAIN_MS, this.#closed.signal).catch(() => undefined) // Closed: seen above.
        if (!this.#closed.signal.aborted && (await this.#listen())) return
      }
    })()
  }

  close(): void {
    this.#closed.abort()
    this.#udp?.close()
    this.#tcp?.close()
    this.#udp = this.#tcp = undefined
  }

  /** The addresses of a name as sandboxes see them; undefined when nobody can say. */
  async resolve(name: string): Promise<Answer | undefined> {
    const query = addressQuery(name, 0)
    const question = parseQuestion(query)
    return question && (await this.#find(query, question, false))?.answer
  }

  async #listen(): Promise<boolean> {
    const { address, port } = this.#options
    const udp = createSocket({ type: 'udp4' })
    const tcp = createServer({ pauseOnConnect: false }, socket => this.#serve(socket))
    try {
      await new Promise<void>((resolve, reject) => {
        udp.once('error', reject)
        udp.bind(port, address, resolve)
      })
      await new Promise<void>((resolve, reject) => {
        tcp.once('error', reject)
        tcp.listen(port, address, resolve)
      })
    } catch {
      // Taken, most likely by the process that this one replaces. Unbound sockets may be closed, too.
      udp.close()
      tcp.close()
      return false
    }
    if (this.#closed.signal.aborted) {
      udp.close()
      tcp.close()
      return true
    }
    const warn = (err: unknown) => this.#options.log.warn({ err }, 'name service')
    udp.on('error', warn)
    tcp.on('error', warn)
    udp.on('message', (query, { address: source, port: from }) => {
      void this.#reply(query, source, false).then(answer => {
        // A sandbox that is gone meanwhile hears nothing.
        if (answer !== undefined && this.#udp === udp) udp.send(answer, from, source, () => undefined)
      })
    })
    this.#udp = udp
    this.#tcp = tcp
    return true
  }

  #serve(socket: Socket): void {
    const source = socket.remoteAddress ?? ''
    const count = this.#connections.get(source) ?? 0
    if (count >= MOST_CONNECTIONS_OF_ONE) return void socket.destroy()
    this.#connections.set(source, count + 1)
    socket.setTimeout(IDLE_MS, () => socket.destroy())
    socket.on('error', () => undefined) // 'close' follows.
    socket.once('close', () => {
      const left = (this.#connections.get(source) ?? 1) - 1
      if (left > 0) this.#connections.set(source, left)
      else this.#connections.delete(source)
    })
    readFrames(socket, async query => {
      const answer = await this.#reply(query, source, true)
      if (answer === undefined) return void socket.destroy()
      const length = Buffer.alloc(2)
      length.writeUInt16BE(answer.length)
      socket.write(Buffer.concat([length, answer]))
    })
  }

  /** Never fails; undefined: not worth an answer. */
  async #reply(query: Buffer, source: string, stream: boolean): Promise<Buffer | undefined> {
    const question = parseQuestion(query)
    if (question === undefined) return undefined
    const waiting = this.#waiting.get(source) ?? 0
    if (waiting >= MOST_WAITING_OF_ONE || this.#total >= MOST_WAITING) return undefined
    this.#waiting.set(source, waiting + 1)
    this.#total += 1
    try {
      return await this.#answer(query, question, source, stream)
    } catch (err) {
      this.#options.log.warn({ err }, 'name not resolved')
      return emptyAnswer(query, question, SERVFAIL)
    } finally {
      this.#total -= 1
      const left = (this.#waiting.get(source) ?? 1) - 1
      if (left > 0) this.#waiting.set(source, left)
      else this.#waiting.delete(source)
    }
  }

  async #answer(query: Buffer, question: Question, source: string, stream: boolean): Promise<Buffer> {
    const { gate, clock } = this.#options
    const verdict = gate.verdict(source, question.name)
    if (verdict === 'refuse') return emptyAnswer(query, question, NXDOMAIN)
    const kept = await this.#find(query, question, stream)
    if (kept !== undefined) await gate.learn(source, question.name, kept.answer)
    if (verdict === 'hide') return emptyAnswer(query, question, NXDOMAIN)
    if (kept === undefined) return emptyAnswer(query, question, SERVFAIL)
    const ageSeconds = Math.floor((clock.now() - kept.atMs) / 1000)
    const answer = answerFrom(kept.response, kept.answer, query, question, ageSeconds)
    return stream || answer.length <= question.room ? answer : truncatedAnswer(query, question)
  }

  async #find(query: Buffer, question: Question, stream: boolean): Promise<Kept | undefined> {
    const { clock } = this.#options
    const { key } = question
    const kept = this.#cache.get(key)
    if (kept !== undefined) {
      this.#cache.delete(key)
      if (clock.now() - kept.atMs < kept.answer.ttl * 1000) {
        this.#cache.set(key, kept) // The one used last goes last.
        return kept
      }
    }
    const name = `${key} ${stream}`
    const asked = this.#asked.get(name) ?? this.#ask(query, question, stream)
    this.#asked.set(name, asked)
    try {
      return await asked
    } finally {
      if (this.#asked.get(name) === asked) this.#asked.delete(name)
    }
  }

  async #ask(query: Buffer, question: Question, stream: boolean): Promise<Kept | undefined> {
    const { upstreams, clock } = this.#options
    const ask = stream ? askOverTcp : askOverUdp
    let unable: Kept | undefined
    for (let round = 0; round < ROUNDS; round++) {
      for (const upstream of await upstreams()) {
        if (this.#closed.signal.aborted) return undefined
        const id = randomInt(65536)
        const timeout = new AbortController()
        const expired = clock.sleep(ANSWER_MS, timeout.signal).then(
          () => undefined,
          () => undefined, // Answered.
        )
        const over = new AbortController()
        const given = AbortSignal.any([this.#closed.signal, over.signal])
        const response = await Promise.race([
          ask(upstream, queryFor(query, question, id), id, given),
          expired,
        ])
        timeout.abort()
        over.abort()
        const answer = response && parseAnswer(response, question)
        if (response === undefined || answer === undefined) continue
        const kept = { response, answer, atMs: clock.now() }
        // The next one may be able or willing to say.
        if (isUnable(response)) {
          unable = kept
          continue
        }
        this.#keep(question.key, kept)
        return kept
      }
      if (unable !== undefined) return unable
    }
    return undefined
  }

  #keep(key: string, kept: Kept): void {
    if (kept.answer.ttl === 0 || kept.response.length > MOST_KEPT_BYTES) return
    this.#cache.set(key, kept)
    const [oldest] = this.#cache.keys()
    if (this.#cache.size > MOST_KEPT && oldest !== undefined) this.#cache.delete(oldest)
  }
}

/** SERVFAIL or REFUSED. */
const isUnable = (response: Buffer): boolean => [2, 5].includes(response[3]! & 15)
