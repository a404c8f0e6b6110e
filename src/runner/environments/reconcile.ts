import { type Key, keyOf, type Resource } from '../../api/resource.ts'
import type { Driver, SandboxId } from '../../core/driver.ts'
import type { EventRecorder } from '../../core/events.ts'
import { again, type Outcome, type ReconcileContext, type Reconciler, settled } from '../../core/reconcile.ts'
import { writeStatus } from '../../core/write.ts'
import { backoffMs } from '../../lib/backoff.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { failpoint } from '../../lib/failpoint.ts'
import { Fault, REASONS, toFault } from '../../lib/fault.ts'
import { hasBundle } from './content.ts'
import { destroy } from './destroy.ts'
import type { EnvironmentLog } from './environment-log.ts'
import type { LiveSandboxes } from './live-sandboxes.ts'
import * as occurred from './occurrences.ts'
import { plan, type Step } from './plan.ts'
import { type EnvironmentRecord, findRecord } from './record.ts'
import { followClass, reportRunning, tellOfRoom } from './report.ts'
import { createStages } from './stages.ts'
import { withStallGuard } from './stall.ts'
import { NotTold, type StartDependencies, start } from './start.ts'
import * as say from './status.ts'

type Environment = Resource<'Environment'>

export interface EnvironmentsOptions extends StartDependencies {
  readonly driver: Driver
  readonly sandboxes: LiveSandboxes
  readonly logOf: (id: SandboxId) => EnvironmentLog
  readonly clock: Clock
  readonly events: EventRecorder
  /** What was told of the environment is to be known before it is gone; waits for that for a moment. */
  readonly settleEvents: (environment: Environment) => Promise<void>
  readonly runner: { readonly namespace: string; readonly name: string }
  /** It waits for room on the host; see `Room`. */
  readonly isHeld: (id: SandboxId) => boolean
  /** Without progress for so long, an attempt is given up. */
  readonly stallMs: Millis
  /** Removes what lies on the host and belongs to nobody any more. */
  readonly sweep: (context: ReconcileContext) => Promise<void>
}

// An attempt that fails for a passing reason is tried again, but people wait: after about ten seconds they are told.
const ATTEMPTS = 4
const RETRY = { baseMs: 1_000, maxMs: 60_000 }
// A sandbox that ran for so long did not end because of how it was started.
const HEALTHY_MS: Millis = 60_000
const GRACE_MS: Millis = 10_000

/** What this process remembers of an environment; nothing breaks when it is forgotten. */
interface Memory {
  pause?: { readonly untilMs: Millis; readonly generation: number; readonly why: string }
  failures: number
  /** Ended by itself so often in a row. */
  restarts: number
  startedMs?: Millis
  generation: number
}

/** Makes this host's sandboxes agree with the environments bound to it: a plan and a thin act. */
export function environments(options: EnvironmentsOptions): Reconciler<'Environment'> {
  const { driver, sandboxes, clock, runner } = options
  const memories = new Map<string, Memory>()

  return {
    name: 'environments',
    kind: 'Environment',
    scope: { namespace: runner.namespace, fields: { 'spec.runner': runner.name } },
    also: [{ kind: 'EnvironmentClass', scope: { namespace: runner.namespace }, concerns: runningOf }],
    async reconcile(_key, environment, context) {
      if (environment === undefined) {
        await options.sweep(context)
        return settled('it is gone')
      }
      const { uid, generation } = environment.metadata
      const memory = memories.get(uid) ?? { failures: 0, restarts: 0, generation }
      if (memory.generation !== generation) {
        // Somebody changed it: what went wrong before was about something else.
        Object.assign(memory, { generation, failures: 0, restarts: 0, pause: undefined })
      }
      memories.set(uid, memory)

      const record = await findRecord(driver.folder(uid))
      // Every epoch is written down before its sandbox exists (P2), so without one there is nothing to look for.
      const sandbox = environment.status.epoch === 0 ? undefined : await sandboxes.find(uid)
      if (sandbox === undefined && environment.status.phase === 'Running') noteEnd(memory, clock.now())
      const step = plan(environment, {
        sandboxEpoch: sandbox?.epoch,
        contentDone: record?.content !== undefined,
        uploaded: hasBundle(driver, uid),
        nowMs: clock.now(),
        ...(memory.pause === undefined ? {} : { pause: memory.pause }),
      })
      const outcome = await act(options, step, { environment, record, memory, context })
      if ((step.kind === 'nothing' || step.kind === 'report-running') && sandbox !== undefined)
        await followClass(options, environment, context)
      if (step.kind === 'nothing' && sandbox !== undefined) await tellOfRoom(options, environment, context)
      if (step.kind === 'destroy') memories.delete(uid)
      return outcome
    },
  }
}

export interface Act {
  readonly environment: Environment
  readonly record: EnvironmentRecord | undefined
  readonly memory: Memory
  readonly context: ReconcileContext
}

async function act(options: EnvironmentsOptions, step: Step, subject: Act): Promise<Outcome> {
  const { sandboxes, clock } = options
  const { environment, context } = subject
  const { uid } = environment.metadata
  const tell = (change: (latest: Environment) => Environment['status']) =>
    writeStatus(context.store, environment, change)
  const tellEvent = occurred.tellOf(options.events.record, environment)

  switch (step.kind) {
    case 'nothing':
      return settled(step.why)
    case 'wait':
      return again(step.forMs, step.why)
    case 'await-upload':
      await tell(latest => say.awaitingUpload(latest, clock.now()))
      return settled('waiting for the client to send the content')
    case 'report-running':
      await reportRunning(options, subject)
      if (environment.status.phase !== 'Running') tellEvent(occurred.started(environment.status.epoch, []))
      return settled('it runs')
    case 'report-stopped':
      await tell(latest => say.stopped(latest, clock.now()))
      return settled('it is stopped')
    case 'report-ended': {
      const exit = say.describeExit(sandboxes.endOf(uid))
      await tell(latest => say.ended(latest, exit, step.forMs, clock.now()))
      tellEvent(occurred.ended(exit))
      return again(step.forMs, `${exit}; starting it again after a pause`)
    }
    case 'stop': {
      const log = options.logOf(uid)
      const sinceMs = clock.now()
      log.append('stop', 'asking everything inside to end')
      const written = await tell(latest => say.stopping(latest, clock.now()))
      failpoint('runner.stopping')
      const sandbox = await sandboxes.find(uid)
      sandboxes.drop(uid) // From here on its end is no news.
      try {
        if (sandbox !== undefined) await unlessAborted(sandbox.stop(GRACE_MS), context.signal)
      } catch (error) {
        if (!context.signal.aborted) tellEvent(occurred.failedStop(toFault(error)))
        throw error
      }
      failpoint('runner.stopped')
      log.append('stop', 'stopped')
      await writeStatus(context.store, written, latest => say.stopped(latest, clock.now()))
      tellEvent(occurred.stopped(clock.now() - sinceMs))
      return settled('it is stopped, as asked')
    }
    case 'destroy':
      return destroy(options, subject)
    case 'start':
      return bringUp(options, step, subject)
  }
}

async function bringUp(
  options: EnvironmentsOptions,
  step: Extract<Step, { kind: 'start' }>,
  { environment, record, memory, context }: Act,
): Promise<Outcome> {
  const { sandboxes, clock, stallMs } = options
  const { uid, namespace = '', name, generation } = environment.metadata
  const stages = createStages(clock)
  const log = options.logOf(uid)
  const tellEvent = occurred.tellOf(options.events.record, environment)
  const exit = step.ended ? say.describeExit(sandboxes.endOf(uid)) : undefined
  if (exit !== undefined) tellEvent(occurred.ended(exit))
  const unwanted = new AbortController()
  context.onChange(latest => {
    if (!isWanted(latest as Environment | undefined, uid)) unwanted.abort()
  })
  try {
    const environmentClass = await findClass(environment, context)
    await withStallGuard(
      clock,
      stallMs,
      AbortSignal.any([context.signal, unwanted.signal]),
      (advanced, signal) =>
        start(options, {
          environment,
          environmentClass: environmentClass.spec,
          record: record ?? { uid, namespace, name },
          epoch: step.epoch,
          ...(exit === undefined ? {} : { ended: exit }),
          store: context.store,
          stages,
          log,
          tellEvent,
          advanced,
          onSandbox: sandbox => {
            memory.startedMs = clock.now()
            sandboxes.add(sandbox)
          },
          signal,
        }),
    )
    memory.failures = 0
    delete memory.pause
    return settled(`it runs, epoch ${step.epoch}`)
  } catch (error) {
    if (error instanceof NotTold) throw error.cause
    if (context.signal.aborted) throw error
    if (unwanted.signal.aborted) {
      log.append('start', 'given up: it is not wanted any more')
      return again(0, 'given up: it is not wanted any more')
    }
    const fault = toFault(error)
    memory.failures += 1
    const stage = stages.failed
    log.append(stage ?? 'start', `${fault.message}${fault.hint === undefined ? '' : ` (${fault.hint})`}`)
    context.log.warn(
      {
        stage,
        reason: fault.reason,
        code: fault.code,
        message: fault.message,
        ...(fault.code === 'unplanned' ? { err: error } : {}),
      },
      'start failed',
    )
    // Only what may pass by itself is tried again, and not without end. P4
    const retries = REASONS[fault.reason].retry !== 'never' && memory.failures < ATTEMPTS
    const inMs = backoffMs(memory.failures, RETRY)
    const retry = { inMs, attempt: memory.failures, limit: ATTEMPTS }
    await writeStatus(context.store, environment, latest =>
      isWanted(latest, uid)
        ? say.failed(latest, {
            fault,
            stage,
            stages: stages.list(),
            nowMs: clock.now(),
            ...(retries ? { retry } : {}),
          })
        : undefined,
    )
    tellEvent(occurred.failed(fault, stage, retries))
    if (!retries) {
      memory.failures = 0
      return settled(`it failed: ${fault.message}`)
    }
    memory.pause = { untilMs: clock.now() + inMs, generation, why: fault.message }
    return again(inMs, fault.message)
  } finally {
    options.images.release(uid)
    await log.flush()
  }
}

/** What cannot be interrupted goes on by itself; whoever waits for it stops waiting. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const left = Promise.withResolvers<never>()
  const leave = () => left.reject(new Fault('cancelled', 'runner-ending', 'stop a sandbox: the runner ends'))
  if (signal.aborted) leave()
  signal.addEventListener('abort', leave, { once: true })
  work.catch(() => undefined) // Heard below, unless nobody listens any more.
  try {
    return await Promise.race([work, left.promise])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}

/** Counts restarts in a row and says when the next may be: at once the first time, later and later afterwards. */
function noteEnd(memory: Memory, nowMs: Millis): void {
  if (memory.startedMs === undefined) return // It ended while this process was not there to see it.
  if (nowMs - memory.startedMs >= HEALTHY_MS) memory.restarts = 0
  delete memory.startedMs
  if (memory.restarts > 0) {
    const untilMs = nowMs + backoffMs(memory.restarts, RETRY)
    memory.pause = { untilMs, generation: memory.generation, why: 'it ended by itself again and again' }
  }
  memory.restarts += 1
}

function runningOf(changed: Resource, known: readonly Environment[]): Key<'Environment'>[] {
  return known
    .filter(
      ({ spec, status, metadata }) =>
        spec.class === changed.metadata.name &&
        metadata.namespace === changed.metadata.namespace &&
        status.epoch > 0 &&
        spec.desired === 'Running',
    )
    .map(keyOf)
}

function isWanted(latest: Environment | undefined, uid: string): boolean {
  return (
    latest !== undefined &&
    latest.metadata.uid === uid &&
    latest.metadata.deletionTimestamp === undefined &&
    latest.spec.desired === 'Running'
  )
}

async function findClass(
  { spec, metadata }: Environment,
  { known, store }: ReconcileContext,
): Promise<Resource<'EnvironmentClass'>> {
  const namespace = metadata.namespace ?? ''
  const inCopy = known('EnvironmentClass').find(each => each.metadata.name === spec.class)
  const found =
    inCopy ?? (await findInStore(store, { kind: 'EnvironmentClass', namespace, name: spec.class }))
  if (found !== undefined) return found
  const hint = `create EnvironmentClass '${spec.class}', then stop and start the environment`
  throw new Fault('not_found', 'class-not-found', `there is no EnvironmentClass '${spec.class}'`, { hint })
}

async function findInStore(store: ReconcileContext['store'], key: Key<'EnvironmentClass'>) {
  try {
    return await store.find(key)
  } catch (cause) {
    throw new NotTold('read the class', { cause })
  }
}
