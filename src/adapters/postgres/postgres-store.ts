import type pg from 'pg'
import { namesOf } from '../../api/kinds/kind-names.ts'
import { checkPrecondition, forCreate, forRemove, forUpdate, type Step } from '../../api/lifecycle.ts'
import { type Draft, describeKey, type Key, type Kind, keyOf, type Resource } from '../../api/resource.ts'
import type {
  Change,
  Listing,
  PageOptions,
  Part,
  RemoveOptions,
  Store,
  WatchOptions,
  Writer,
} from '../../core/store.ts'
import type { Clock } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import { uuidv7 } from '../../lib/ids.ts'
import type { Feed } from './feed.ts'
import { list } from './list.ts'
import { type Body, toBody, toResource } from './rows.ts'
import { sqlFault } from './sql-faults.ts'
import type { WriteCombiner } from './write-combiner.ts'

/**
 * The Store on PostgreSQL. Writes read the object, decide by the pure rules of `api/lifecycle.ts`, and are carried out
 * only if the object is still what was read.
 */
export class PostgresStore implements Store {
  readonly #pool: pg.Pool
  readonly #writes: WriteCombiner
  readonly #feed: Feed
  readonly #clock: Clock

  constructor(parts: { pool: pg.Pool; writes: WriteCombiner; feed: Feed; clock: Clock }) {
    this.#pool = parts.pool
    this.#writes = parts.writes
    this.#feed = parts.feed
    this.#clock = parts.clock
  }

  find<K extends Kind>(key: Key<K>): Promise<Resource<K> | undefined> {
    return this.#find(key, `read ${describeKey(key)}`)
  }

  list<K extends Kind>(kind: K, options: PageOptions = {}): Promise<Listing<K>> {
    return list(this.#pool, kind, options)
  }

  async create<K extends Kind>(draft: Draft<K>, by?: Writer): Promise<Resource<K>> {
    const now = this.#clock.now()
    const next = forCreate(draft, { now, uid: uuidv7(now) }, by)
    const written = await this.#write('create', next, undefined)
    if (written !== undefined) return written
    const message = `create ${describeKey(keyOf(next))}: the name is taken`
    const object = { kind: next.kind, group: namesOf(next.kind).group, name: next.metadata.name }
    throw new Fault('already_exists', 'name-taken', message, {
      hint: 'choose another name, or delete the object that has it',
      object,
    })
  }

  async update<K extends Kind>(next: Resource<K>, part: Part, by?: Writer): Promise<Resource<K>> {
    const key = keyOf<K>(next)
    const current = await this.#get(key, 'update')
    // Nobody updates without having read: an absent revision is a stale one.
    const resourceVersion = next.metadata.resourceVersion ?? ''
    checkPrecondition('update', current, { resourceVersion })
    const done = await this.#apply(
      current,
      forUpdate(current, next, part, by && { ...by, now: this.#clock.now() }),
    )
    if (done !== undefined) return done
    const latest = await this.#get(key, 'update')
    checkPrecondition('update', latest, { resourceVersion })
    // The row that was in the way is gone again and the object as it was: not possible, revisions never return.
    throw new Fault('conflict', 'revision-mismatch', `update ${describeKey(key)}: it has changed meanwhile`)
  }

  async remove<K extends Kind>(key: Key<K>, options: RemoveOptions = {}): Promise<Resource<K>> {
    // Another writer in between is no conflict unless the caller named a state. Each turn that is lost is another
    // writer's gain, so somebody always gets on.
    for (;;) {
      const current = await this.#get(key, 'remove')
      checkPrecondition('remove', current, options)
      const step = forRemove(current, this.#clock.now(), options.propagation)
      const done = await this.#apply(current, step)
      if (done !== undefined) return done
    }
  }

  watch<K extends Kind>(kind: K, options: WatchOptions, signal: AbortSignal): AsyncIterable<Change<K>> {
    return this.#feed.watch(kind, options, signal)
  }

  /** Undefined when the object is no longer in the state `current`. */
  async #apply<K extends Kind>(current: Resource<K>, step: Step<K>): Promise<Resource<K> | undefined> {
    return step.effect === 'none'
      ? step.next
      : this.#write(step.effect, step.next, current.metadata.resourceVersion)
  }

  async #write<K extends Kind>(
    op: 'create' | 'put' | 'remove',
    next: Resource<K>,
    expected: string | undefined,
  ): Promise<Resource<K> | undefined> {
    const key = keyOf<K>(next)
    // What is answered is what a later read gives: without keys that are undefined, sharing nothing with the caller.
    const body = JSON.parse(JSON.stringify(toBody(next))) as Body
    try {
      const write = { op, key, uid: next.metadata.uid, body, ...(expected === undefined ? {} : { expected }) }
      const { written } = await this.#writes.write(write)
      return written === undefined ? undefined : toResource<K>(body, written)
    } catch (error) {
      throw sqlFault(error, `${op === 'put' ? 'update' : op} ${describeKey(key)}`)
    }
  }

  async #find<K extends Kind>(key: Key<K>, what: string): Promise<Resource<K> | undefined> {
    try {
      const { rows } = await this.#pool.query<{ revision: string; body: Body }>({
        name: 'find',
        text: `SELECT revision, body FROM bothy.resource WHERE kind = $1 AND namespace = $2 AND name = $3`,
        values: [key.kind, key.namespace, key.name],
      })
      const row = rows[0]
      return row === undefined ? undefined : toResource<K>(row.body, row.revision)
    } catch (error) {
      throw sqlFault(error, what)
    }
  }

  async #get<K extends Kind>(key: Key<K>, verb: string): Promise<Resource<K>> {
    const what = `${verb} ${describeKey(key)}`
    const found = await this.#find(key, what)
    if (found !== undefined) return found
    const object = { kind: key.kind, group: namesOf(key.kind).group, name: key.name }
    throw new Fault('not_found', 'no-such-object', `${what}: there is none`, { object })
  }
}
