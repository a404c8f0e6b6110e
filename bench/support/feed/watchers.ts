// A load process: watchers that speak the bare protocol and believe nothing.
import { Agent } from 'node:https'
import { systemClock } from '../../../src/lib/clock.ts'
import { Histogram } from './histogram.ts'
import { ENVIRONMENTS, mix, nowUs, open, SENT, SEQUENCE } from './load.ts'
import { offer } from './rpc.ts'
import type { Address } from './server-process.ts'

export interface WatchersInput {
  readonly address: Address
  readonly watchers: number
  readonly objects: number
  readonly from: string
}

/** What one watcher has seen from the beginning, in short; and what it found wrong by itself. */
export interface Seen {
  readonly events: number
  /** Over the revisions in the order in which they came. */
  readonly hash: number
  readonly latest: number
  /** The revision of each object, 0 where it never changed. */
  readonly revisions: Float64Array
  readonly problems: readonly string[]
  readonly connects: number
}

const RETRY_MS = 100
const BOOKMARK = '{"type":"BOOKMARK"'
const ERROR = '{"type":"ERROR"'
const MAX_PROBLEMS = 5

let lag = new Histogram()
const watchers: Watcher[] = []

class Watcher {
  readonly #input: WatchersInput
  readonly #agent: Agent
  /** The last count of writes to each object. */
  readonly #counts: Int32Array
  readonly #sequences: Int32Array
  readonly revisions: Float64Array
  readonly problems: string[] = []
  events = 0
  hash = 0
  connects = 0
  /** Of the last event. */
  latest: number
  /** Of the last event or bookmark: where a lost watch goes on. */
  #position: string

  constructor(input: WatchersInput) {
    this.#input = input
    this.#agent = new Agent({ ca: input.address.ca, keepAlive: false })
    this.#counts = new Int32Array(input.objects)
    this.#sequences = new Int32Array(input.objects)
    this.revisions = new Float64Array(input.objects)
    this.#position = input.from
    this.latest = Number(input.from)
  }

  /** Connects again for ever; calls `onOpen` at the first time. */
  async run(onOpen: () => void): Promise<void> {
    for (;;) {
      try {
        await this.#watchOnce(onOpen)
      } catch {
        // The server is away: that is what the restart is for.
      }
      await systemClock.sleep(RETRY_MS)
    }
  }

  async #watchOnce(onOpen: () => void): Promise<void> {
    const path = `${ENVIRONMENTS}?watch=true&allowWatchBookmarks=true&resourceVersion=${this.#position}`
    const answer = await open(this.#input.address, { agent: this.#agent, method: 'GET', path })
    if (answer.statusCode !== 200) this.#problem(`watch from ${this.#position}: HTTP ${answer.statusCode}`)
    this.connects++
    onOpen()
    let rest = ''
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      const receivedUs = nowUs()
      const lines = (rest + chunk.toString('latin1')).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) this.#onLine(line, receivedUs)
    }
  }

  #onLine(line: string, receivedUs: number): void {
    const revision = after(line, '"resourceVersion":"')
    if (line.startsWith(ERROR)) return this.#problem(line.slice(0, 300))
    if (line.startsWith(BOOKMARK)) {
      if (Number(revision) < this.latest) this.#problem(`bookmark ${revision} behind ${this.latest}`)
      this.#position = revision
      return
    }
    const number = Number(revision)
    if (number <= Number(this.#position)) this.#problem(`${revision} came after ${this.#position}`)
    this.#position = revision
    this.latest = number
    this.events++
    this.hash = mix(this.hash, number)
    const name = after(line, '"name":"e-')
    if (name !== '') this.#onObject(line, Number(name), number, receivedUs)
  }

  /** Every write to an object raises its sequence or its epoch by one, so that their sum must rise by exactly that. */
  #onObject(line: string, index: number, revision: number, receivedUs: number): void {
    const sequence = Number(after(line, `"${SEQUENCE}":"`))
    const count = sequence + Number(after(line, '"epoch":'))
    const expected = (this.#counts[index] ?? 0) + 1
    if (count !== expected) this.#problem(`e-${index} at ${revision}: write ${count} instead of ${expected}`)
    this.#counts[index] = count
    this.revisions[index] = revision
    if (sequence === this.#sequences[index]) return
    this.#sequences[index] = sequence
    lag.add((receivedUs - Number(after(line, `"${SENT}":"`))) / 1000)
  }

  #problem(text: string): void {
    if (this.problems.length < MAX_PROBLEMS) this.problems.push(text)
  }
}

/** The digits after `mark` in `line`; '' when it is not there. */
function after(line: string, mark: string): string {
  const found = line.indexOf(mark)
  if (found < 0) return ''
  const start = found + mark.length
  let end = start
  while (line.charCodeAt(end) >= 48 && line.charCodeAt(end) <= 57) end++
  return line.slice(start, end)
}

offer({
  /** Resolves when all are connected. */
  start: async (input: WatchersInput) => {
    await Promise.all(
      Array.from({ length: input.watchers }, () => {
        const watcher = new Watcher(input)
        watchers.push(watcher)
        return new Promise<void>(resolve => void watcher.run(resolve))
      }),
    )
  },
  /** Lags since the last call. */
  lag: () => {
    const { counts } = lag
    lag = new Histogram()
    return counts
  },
  /** Resolves when every watcher has come as far as `revision`. */
  caughtUp: async (revision: number) => {
    while (watchers.some(each => each.latest < revision)) await systemClock.sleep(10)
  },
  seen: (): Seen[] =>
    watchers.map(({ events, hash, latest, revisions, problems, connects }) => ({
      events,
      hash,
      latest,
      revisions,
      problems,
      connects,
    })),
})
