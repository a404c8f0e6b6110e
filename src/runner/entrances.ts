// What the gateway finds behind it: the environments of this runner. Whoever enters has been admitted already; here it
// is only waited for what is on its way, so that `create` and then `exec` need no polling.
import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { type Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { findCondition } from '../api/conditions.ts'
import type { Resource } from '../api/resource.ts'
import type { Driver, Sandbox, SandboxId } from '../core/driver.ts'
import type { Exec } from '../core/exec.ts'
import type { Informer } from '../core/informer.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import { failpoint } from '../lib/failpoint.ts'
import { Fault } from '../lib/fault.ts'
import { bundlePath, dropBrokenUploads } from './environments/content.ts'
import type { EnvironmentLog } from './environments/environment-log.ts'
import type { LiveSandboxes } from './environments/live-sandboxes.ts'
import { findRecord } from './environments/record.ts'
import type { Activity } from './governors/activity.ts'
import type { Notices } from './governors/notices.ts'

type Environment = Resource<'Environment'>

/** What a gateway needs of a runner. */
export interface Entrances {
  exec(environmentUid: string): Promise<Exec>
  receiveContent(environmentUid: string, stream: Readable, signal: AbortSignal): Promise<void>
  logs(
    environmentUid: string,
    options: { readonly follow: boolean; readonly tail?: number | undefined },
    signal: AbortSignal,
  ): Promise<Readable>
}

export interface EntrancesOptions {
  readonly driver: Driver
  readonly informer: Informer<'Environment'>
  readonly sandboxes: LiveSandboxes
  readonly logOf: (id: SandboxId) => EnvironmentLog
  readonly activity: Activity
  readonly notices: Notices
  readonly clock: Clock
  /** Something arrived that the environment waits for. */
  readonly onContent: (environment: Environment) => void
  /** Most that an upload may have; the size of the disk is no help, since it lands beside it. */
  readonly uploadBytes?: number
}

/** How long an entrance waits for an environment that is on its way. */
const STARTING_MS: Millis = 30_000
/** How long for one that this runner has not heard of: the grant may be quicker than the watch. */
const UNKNOWN_MS: Millis = 5_000
const UPLOAD_BYTES = 8 * 2 ** 30

export function createEntrances(options: EntrancesOptions): Entrances {
  const {
    driver,
    informer,
    sandboxes,
    logOf,
    activity,
    notices,
    clock,
    onContent,
    uploadBytes = UPLOAD_BYTES,
  } = options

  /** Uploads on their way. */
  const receiving = new Set<string>()

  const find = (uid: string) => informer.list().find(each => each.metadata.uid === uid)

  /** Asks `probe` after every change until it has an answer or throws; `late` says what it is when time is up. */
  const waitFor = async <T>(waitMs: Millis, probe: () => T | undefined, late: () => Fault): Promise<T> => {
    const first = probe()
    if (first !== undefined) return first
    const over = new AbortController()
    const ends: (() => void)[] = []
    try {
      return await new Promise<T>((resolve, reject) => {
        const look = () => {
          try {
            const found = probe()
            if (found !== undefined) resolve(found)
          } catch (error) {
            reject(error)
          }
        }
        ends.push(informer.onChange(look), sandboxes.onChange(look))
        clock.sleep(waitMs, over.signal).then(
          () => reject(late()),
          () => undefined, // Answered earlier.
        )
        look()
      })
    } finally {
      over.abort()
      for (const end of ends) end()
    }
  }

  const getEnvironment = (uid: string): Promise<Environment> =>
    waitFor(
      UNKNOWN_MS,
      () => find(uid),
      () =>
        new Fault('not_found', 'environment-unknown', `enter environment ${uid}: it is not on this runner`),
    )

  const getSandbox = async (uid: string): Promise<Sandbox> => {
    const { name } = (await getEnvironment(uid)).metadata
    const late = () =>
      new Fault('unavailable', 'environment-starting', `enter environment '${name}': it is not running yet`, {
        hint: `'bothy explain environment/${name}' says what it waits for`,
      })
    return waitFor(STARTING_MS, () => judge(find(uid), name, sandboxes.inHand(uid)), late)
  }

  return {
    async exec(uid) {
      const sandbox = await getSandbox(uid)
      return activity.counted(uid, notices.attached(uid, sandbox.exec))
    },

    async receiveContent(uid, stream, signal) {
      // It may break before it is read from; the pipeline below tells of it then.
      stream.on('error', () => undefined)
      const environment = await getEnvironment(uid)
      const { name } = environment.metadata
      const attempt = `send content to environment '${name}'`
      if (environment.spec.content.upload === undefined) {
        throw new Fault(
          'conflict',
          'content-not-expected',
          `${attempt}: its content does not come from a client`,
        )
      }
      const folder = driver.folder(uid)
      const refuseSecond = async () => {
        if ((await findRecord(folder))?.content === undefined) return
        throw new Fault('conflict', 'content-there-already', `${attempt}: it has its content already`, {
          hint: 'create another environment for other content',
        })
      }
      await refuseSecond()
      await mkdir(folder, { recursive: true, mode: 0o700 })
      const path = bundlePath(driver, uid)
      const partial = `${path}.${randomUUID()}`
      await dropBrokenUploads(driver, uid, each => receiving.has(each))
      receiving.add(partial)
      try {
        await pipeline(
          stream,
          limit(uploadBytes, attempt),
          createWriteStream(partial, { mode: 0o600, flags: 'wx' }),
          {
            signal,
          },
        )
        failpoint('runner.bundle-received')
        await rename(partial, path)
        failpoint('runner.bundle-kept')
        // An earlier one, whose sender never heard that it came through, may have been faster.
        await refuseSecond().catch(async error => {
          await rm(path, { force: true })
          throw error
        })
      } catch (error) {
        await rm(partial, { force: true })
        throw translate(error, attempt)
      } finally {
        receiving.delete(partial)
      }
      logOf(uid).append('content', 'received')
      onContent(environment)
    },

    async logs(uid, { follow, tail }, signal) {
      await getEnvironment(uid)
      return logOf(uid).read({ follow, ...(tail === undefined ? {} : { tail }) }, signal)
    },
  }
}

/** The sandbox to enter; undefined: it is on its way. Faults when nothing will come of waiting. */
function judge(
  environment: Environment | undefined,
  name: string,
  sandbox: Sandbox | undefined,
): Sandbox | undefined {
  const refuse = (code: string, why: string, hint?: string) =>
    new Fault('unavailable', code, `enter environment '${name}': ${why}`, hint === undefined ? {} : { hint })
  if (environment === undefined || environment.metadata.deletionTimestamp !== undefined) {
    throw refuse('environment-deleted', 'it is being deleted')
  }
  const { spec, status, metadata } = environment
  if (spec.desired === 'Stopped')
    throw refuse('environment-stopped', 'it is stopped', `bothy env start ${name}`)
  if (status.phase === 'Failed' && status.observedGeneration === metadata.generation) {
    const ready = findCondition(status.conditions, 'Ready')
    throw refuse('environment-failed', ready?.message ?? 'it failed', ready?.hint)
  }
  // One of an older epoch is about to be replaced.
  return sandbox !== undefined && sandbox.epoch >= status.epoch ? sandbox : undefined
}

function limit(maxBytes: number, attempt: string): Transform {
  let bytes = 0
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      if (bytes <= maxBytes) return done(null, chunk)
      done(new Fault('too_large', 'upload-too-large', `${attempt}: more than ${maxBytes} bytes`))
    },
  })
}

function translate(error: unknown, attempt: string): unknown {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const hint = 'make room on the machine of the runner'
    return new Fault('exhausted', 'upload-no-space', `${attempt}: no space left`, { cause: error, hint })
  }
  return error
}
