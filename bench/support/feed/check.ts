// What everybody saw, compared with the change log. Pure, but for the reader of the log.
import type pg from 'pg'
import { systemClock } from '../../../src/lib/clock.ts'
import { mix, nameOf } from './load.ts'
import type { Seen } from './watchers.ts'

const LOG_EVERY_MS = 250

/** Name and revision of each environment that a runner holds, by runner. */
export type States = readonly (readonly (readonly [name: string, revision: string])[])[]

/** Revisions of all changes of environments, read while they come, so that compaction cannot take them away. */
export class LogReader {
  readonly #sql: pg.Client
  readonly revisions: number[] = []
  #position: string

  constructor(sql: pg.Client, from: string) {
    this.#sql = sql
    this.#position = from
  }

  async read(): Promise<void> {
    const { rows } = await this.#sql.query<{ revision: string }>({
      name: 'bench-log',
      text: `SELECT revision FROM bothy.change WHERE kind = 'Environment' AND revision > $1 ORDER BY revision`,
      values: [this.#position],
    })
    for (const { revision } of rows) this.revisions.push(Number(revision))
    this.#position = rows.at(-1)?.revision ?? this.#position
  }

  /** Reads now and then until it is stopped; then everything that is there. */
  follow(): { stop(): Promise<void> } {
    const ending = new AbortController()
    const reading = (async () => {
      while (!ending.signal.aborted) {
        await this.read()
        await systemClock.sleep(LOG_EVERY_MS, ending.signal).catch(() => undefined) // Aborted: the loop sees it.
      }
      await this.read()
    })()
    return {
      stop: () => {
        ending.abort()
        return reading
      },
    }
  }

  get latest(): number {
    return Number(this.#position)
  }
}

export interface Evidence {
  readonly log: readonly number[]
  readonly watchers: readonly Seen[]
  /** Revisions that writers were told. */
  readonly written: readonly number[]
  /** Name and revision of everything that exists at the end. */
  readonly final: ReadonlyMap<string, number>
  /** What each runner's informer holds at the end. */
  readonly runners: States
  readonly objects: number
}

/** Everything that does not fit; nothing when no change was missed, doubled or out of order. */
export function problems({ log, watchers, written, final, runners, objects }: Evidence): string[] {
  const hash = log.reduce(mix, 0)
  const logged = new Set(log)
  const lost = written.filter(revision => !logged.has(revision))
  const held = runners.reduce((sum, each) => sum + each.length, 0)
  return [
    ...watchers.flatMap((seen, id) => [
      ...seen.problems.map(text => `watcher ${id}: ${text}`),
      ...(seen.events === log.length ? [] : [`watcher ${id} saw ${seen.events} changes of ${log.length}`]),
      ...(seen.hash === hash
        ? []
        : [`watcher ${id} saw other changes than the log holds, or in other order`]),
      ...differing(seen.revisions, final).map(
        text => `watcher ${id} does not end where the list does: ${text}`,
      ),
    ]),
    ...lost.slice(0, 5).map(revision => `a writer was told ${revision}, which no log holds`),
    ...runners.flatMap((entries, id) =>
      entries
        .filter(([name, revision]) => final.get(name) !== Number(revision))
        .slice(0, 1)
        .map(([name, revision]) => `runner ${id} holds ${name} at ${revision}, not ${final.get(name)}`),
    ),
    ...(runners.length === 0 || held === objects ? [] : [`runners hold ${held} environments of ${objects}`]),
  ]
}

function differing(revisions: Float64Array, final: ReadonlyMap<string, number>): string[] {
  for (const [index, revision] of revisions.entries()) {
    if (revision === 0) continue
    const name = nameOf(index)
    if (final.get(name) !== revision) return [`${name} at ${revision}, not ${final.get(name)}`]
  }
  return []
}
