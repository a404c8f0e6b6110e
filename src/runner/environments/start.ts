// One attempt to bring an environment up. What can be done at once is done at once, and the API is told as little as
// people and fencing need: with a cached image and nothing to clone that is two writes, one of them beside the disk.

import type { EnvironmentStatus } from '../../api/kinds/environment.ts'
import type { EnvironmentClassSpec } from '../../api/kinds/environment-class.ts'
import { parseBytes } from '../../api/quantity.ts'
import type { Resource } from '../../api/resource.ts'
import type { ClonedContent } from '../../core/content.ts'
import type { Sandbox } from '../../core/driver.ts'
import type { Store } from '../../core/store.ts'
import { writeStatus } from '../../core/write.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { toFault } from '../../lib/fault.ts'
import { type ContentDependencies, dropBundle, makeContent } from './content.ts'
import type { EnvironmentLog } from './environment-log.ts'
import type { ChosenImage, Images } from './image.ts'
import { type MakeRoom, orMakeRoom } from './make-room.ts'
import { networkPolicy } from './network.ts'
import { contentReady, copied, pulled, pulling, started, type Told } from './occurrences.ts'
import { type EnvironmentRecord, writeRecord } from './record.ts'
import { findSource, type Source } from './source.ts'
import type { Stages } from './stages.ts'
import * as say from './status.ts'

type Environment = Resource<'Environment'>

export interface StartDependencies extends ContentDependencies {
  readonly images: Images
  /** For what would be refused for want of it. */
  readonly makeRoom: MakeRoom
  readonly clock: Clock
}

export interface Start {
  readonly environment: Environment
  readonly environmentClass: EnvironmentClassSpec
  readonly record: EnvironmentRecord
  readonly epoch: number
  /** How it ended by itself, if this is a restart. */
  readonly ended?: string
  readonly store: Store
  readonly stages: Stages
  readonly log: EnvironmentLog
  readonly tellEvent: (told: Told) => void
  /** To be called whenever something has advanced. */
  readonly advanced: (what: string) => void
  /** The sandbox runs, and can be entered before the API has heard of it. */
  readonly onSandbox: (sandbox: Sandbox) => void
  readonly signal: AbortSignal
}

/** The server could not be told: no fault of the environment's, and no reason to call it Failed. */
export class NotTold extends Error {
  override readonly name = 'NotTold'
}

// Progress is for people who watch; more often than this would only cost revisions.
const PROGRESS_MS: Millis = 2_000

/** Faults with whatever failed; `stages.failed` says where. Throws NotTold when a write of status failed. */
export async function start(dependencies: StartDependencies, attempt: Start): Promise<void> {
  const { driver, images, clock } = dependencies
  const { environmentClass, stages, log, tellEvent, advanced, signal, epoch } = attempt
  const { uid: id, name } = attempt.environment.metadata
  let { environment, record } = attempt
  const { spec } = environment
  const tell = createTeller(
    attempt.store,
    () => environment,
    written => (environment = written),
  )
  const keep = async (more: Partial<EnvironmentRecord>) => {
    record = { ...record, ...more }
    await writeRecord(driver.folder(id), record)
  }

  const diskBytes = parseBytes(spec.disk ?? environmentClass.disk)
  const disk = (either: AbortSignal) =>
    stages.during('disk', () =>
      orMakeRoom(() => driver.ensureDisk(id, diskBytes, either), dependencies.makeRoom),
    )
  const copyDisk = (source: Source, either: AbortSignal) =>
    stages.during('disk', async () => {
      const copy = await orMakeRoom(() => driver.copyDisk(id, source.disk, either), dependencies.makeRoom)
      if (copy !== undefined) tellEvent(copied(source.what, copy))
      failpoint('runner.disk-copied')
      await driver.ensureDisk(id, diskBytes, either)
    })
  const announce = (image: ChosenImage, git: ClonedContent | undefined) =>
    tell(latest =>
      say.starting(latest, {
        epoch,
        image,
        stages: stages.list(),
        nowMs: clock.now(),
        ...(git === undefined ? {} : { git }),
        ...(attempt.ended === undefined ? {} : { ended: attempt.ended }),
      }),
    )

  const source = await sourceOf(dependencies, attempt)
  if (source !== undefined) record = { ...record, image: source.record.image }
  const wanted = { spec, environmentClass, record }
  let image = await images.find(wanted)
  const needsContent = record.content === undefined
  // Left by a runner that was killed between the two.
  if (!needsContent && spec.content.upload !== undefined) await dropBundle(driver, id)
  if (image !== undefined && (!needsContent || source !== undefined || spec.content.empty !== undefined)) {
    const known = image
    const diskOfRecord = async (either: AbortSignal) => {
      // What the folder belongs to is known before a disk lies in it.
      await keep({
        image: known,
        ...(source === undefined ? { content: record.content ?? {} } : { copying: source.record.content }),
      })
      failpoint('runner.recorded')
      if (source === undefined) return disk(either)
      await copyDisk(source, either)
      await keep({ content: source.record.content })
      failpoint('runner.content-recorded')
    }
    const git = (record.content ?? source?.record.content)?.git as ClonedContent | undefined
    await both(diskOfRecord, () => announce(known, git), signal)
  } else {
    await keep(source === undefined ? {} : { copying: source.record.content })
    const progress = createProgress(clock, () =>
      tell(latest => say.creating(latest, { stages: stages.list(), nowMs: clock.now() })),
    )
    const note = (stage: string) => (line: string) => {
      stages.say(stage, line)
      log.append(stage, line)
      advanced(`${stage}: ${line}`)
      progress.changed()
    }
    try {
      const fetch = (either: AbortSignal) =>
        stages.during('image', () => images.ensure(wanted, note('image'), either))
      if (image === undefined)
        tellEvent(pulling(record.image?.reference ?? spec.image ?? environmentClass.image))
      const working = both(
        fetch,
        either => (source === undefined ? disk(either) : copyDisk(source, either)),
        signal,
      )
      progress.changed()
      const [fetched] = await working
      if (image === undefined) tellEvent(pulled(fetched, stages.list()))
      image = fetched
      if (needsContent) {
        const make = () => makeContent(dependencies, id, spec.content, note('content'), signal)
        const isThere = spec.content.empty !== undefined || source !== undefined
        const git = isThere ? undefined : await stages.during('content', make)
        if (git !== undefined) tellEvent(contentReady(git, stages.list()))
        failpoint('runner.content-made')
        await keep({ image: fetched, content: source?.record.content ?? (git === undefined ? {} : { git }) })
        failpoint('runner.content-recorded')
        await dropBundle(driver, id)
      }
    } finally {
      await progress.finish()
    }
    await announce(image, record.content?.git as ClonedContent | undefined)
  }

  failpoint('runner.announced')
  const network = networkPolicy(environmentClass)
  const sandbox = await stages.during('start', () =>
    driver.ensure(
      {
        id,
        name,
        epoch,
        image: image as ChosenImage,
        env: spec.env,
        memoryBytes: parseBytes(environmentClass.memory),
        pids: environmentClass.pids,
        ...(environmentClass.isolation === undefined ? {} : { isolation: environmentClass.isolation }),
        ...(network === undefined ? {} : { network }),
        ...(environmentClass.devices === undefined ? {} : { devices: environmentClass.devices }),
      },
      signal,
      (stage, startedMs, endedMs) => {
        stages.add(`start/${stage}`, startedMs, endedMs)
        advanced(stage)
      },
    ),
  )
  failpoint('runner.started')
  attempt.onSandbox(sandbox)
  log.append('start', `running, epoch ${epoch}`)
  const usage = await driver.findDisk(id)
  await tell(latest =>
    say.running(latest, { stages: stages.list(), nowMs: clock.now(), diskBytes: usage?.sizeBytes }),
  )
  tellEvent(started(epoch, stages.list()))
}

/** What a copied environment begins with, as long as it has not begun. */
async function sourceOf(
  { driver }: StartDependencies,
  { environment, record, store }: Start,
): Promise<Source | undefined> {
  const { snapshot, environment: parent } = environment.spec.content
  if (record.content !== undefined || (snapshot ?? parent) === undefined) return undefined
  const { uid } = environment.metadata
  // Copied already, by a runner that was killed before it could say so; what it was copied from may be gone.
  if (
    record.copying !== undefined &&
    record.image !== undefined &&
    (await driver.findDisk(uid)) !== undefined
  )
    return {
      disk: { environment: uid },
      what: 'itself',
      record: { content: record.copying, image: record.image },
    }
  try {
    return await findSource(environment, store, driver)
  } catch (cause) {
    // Asked of the server, and not answered: no verdict about the environment.
    if (toFault(cause).reason === 'unavailable' && toFault(cause).code !== 'source-not-ready')
      throw new NotTold('find what to copy', { cause })
    throw cause
  }
}

/** Writes status one after another, each on top of the one before. */
function createTeller(
  store: Store,
  latest: () => Environment,
  onWritten: (environment: Environment) => void,
) {
  let turn: Promise<void> = Promise.resolve()
  return (change: (latest: Environment) => EnvironmentStatus): Promise<void> => {
    const written = turn.then(async () => {
      try {
        onWritten(await writeStatus(store, latest(), change))
      } catch (cause) {
        throw new NotTold('write the status', { cause })
      }
    })
    turn = written.catch(() => undefined) // Each caller hears of its own.
    return written
  }
}

/** Tells at once, then at most every two seconds while something changes. */
function createProgress(clock: Clock, tell: () => Promise<void>) {
  const stop = new AbortController()
  let pending = false
  let loop: Promise<void> | undefined
  const run = async () => {
    while (pending && !stop.signal.aborted) {
      pending = false
      await tell().catch(() => undefined) // Progress that nobody heard; what matters is told again, and may fail then.
      await clock.sleep(PROGRESS_MS, stop.signal).catch(() => undefined) // Finished.
    }
    loop = undefined
  }
  return {
    changed() {
      pending = true
      loop ??= run()
    },
    async finish() {
      stop.abort()
      await loop
    },
  }
}

/** Both at once. When one fails the other is aborted and waited for: nothing goes on behind the caller's back. */
async function both<A, B>(
  one: (signal: AbortSignal) => Promise<A>,
  other: (signal: AbortSignal) => Promise<B>,
  signal: AbortSignal,
): Promise<[A, B]> {
  const failed = new AbortController()
  const errors: unknown[] = []
  const either = AbortSignal.any([signal, failed.signal])
  const watched = <T>(body: (signal: AbortSignal) => Promise<T>) =>
    body(either).catch(error => {
      errors.push(error)
      failed.abort()
      throw error
    })
  const [first, second] = await Promise.allSettled([watched(one), watched(other)])
  if (first.status === 'fulfilled' && second.status === 'fulfilled') return [first.value, second.value]
  throw errors[0]
}
