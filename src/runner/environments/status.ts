// What the runner says of an environment: pure builders, from the latest status to the next. They keep what they do not
// own (other conditions, e.g. RunnerReachable) and give every condition its reason.
import { type Condition, findCondition, setCondition } from '../../api/conditions.ts'
import type { EnvironmentPhase, EnvironmentStatus, Stage } from '../../api/kinds/environment.ts'
import { formatQuantity } from '../../api/quantity.ts'
import type { Resource } from '../../api/resource.ts'
import type { ClonedContent } from '../../core/content.ts'
import type { Exit } from '../../core/exec.ts'
import { type Millis, timestamp } from '../../lib/clock.ts'
import type { Fault } from '../../lib/fault.ts'

type Environment = Resource<'Environment'>
type Verdict = Omit<Condition, 'lastTransitionTime'>

/** What is known of the image that a start uses. */
export interface ImageVerdict {
  readonly reference: string
  readonly digest: string
  /** Why it is not the image that was asked for. */
  readonly fallback?: string | undefined
}

export interface Progress {
  readonly stages: readonly Stage[]
  readonly nowMs: Millis
}

const READY = 'Ready'

/** Work on image, disk and content has begun, or has advanced. */
export function creating(environment: Environment, { stages, nowMs }: Progress): EnvironmentStatus {
  const message = stages.find(stage => stage.ended === undefined)?.name ?? 'image'
  return next(
    environment,
    'Creating',
    nowMs,
    [bound(environment), ...imageProgress(stages), notReady('Creating', `preparing: ${message}`)],
    {
      stages: [...stages],
    },
  )
}

/** The bundle is waited for. */
export function awaitingUpload(environment: Environment, nowMs: Millis): EnvironmentStatus {
  const message = 'waiting for the client to send the content'
  const hint = "send it with 'bothy env create FOLDER', or delete the environment"
  return next(environment, 'Creating', nowMs, [
    bound(environment),
    { type: 'ContentReady', status: 'False', reason: 'AwaitingUpload', message, hint },
    notReady('AwaitingUpload', message, hint),
  ])
}

/** From here on this epoch is the one that counts: written before its sandbox exists. */
export function starting(
  environment: Environment,
  progress: Progress & {
    readonly epoch: number
    readonly image: ImageVerdict
    readonly git?: ClonedContent
    readonly ended?: string
  },
): EnvironmentStatus {
  const { epoch, image, git, ended, stages, nowMs } = progress
  const why =
    ended === undefined
      ? notReady('Starting', 'the sandbox is starting')
      : notReady('SandboxEnded', `${ended}; starting it again`)
  return next(
    environment,
    'Starting',
    nowMs,
    [bound(environment), imageReady(image), contentReady(environment, git), why],
    {
      epoch,
      stages: [...stages],
      image: { reference: image.reference, digest: image.digest },
      ...(git === undefined ? {} : { git }),
    },
  )
}

export function running(
  environment: Environment,
  {
    stages,
    nowMs,
    diskBytes,
    diskFault,
  }: Partial<Progress> & { nowMs: Millis; diskBytes?: number | undefined; diskFault?: Fault | undefined },
): EnvironmentStatus {
  const ready: Verdict = { type: READY, status: 'True', reason: 'SandboxRunning', message: 'it runs' }
  return next(environment, 'Running', nowMs, [ready, ...diskReady(environment, diskFault)], {
    ...(stages === undefined ? {} : { stages: [...stages] }),
    ...(diskBytes === undefined ? {} : { disk: { size: formatQuantity(diskBytes) } }),
  })
}

/** It ended by itself and is started again in a while. */
export function ended(
  environment: Environment,
  exit: string,
  inMs: Millis,
  nowMs: Millis,
): EnvironmentStatus {
  const message = `${exit}; starting it again in ${seconds(inMs)}`
  return next(environment, 'Starting', nowMs, [notReady('SandboxEnded', message)])
}

const ROOM = 'RoomAvailable'

export function isToldHeld({ status }: Environment): boolean {
  return findCondition(status.conditions, ROOM)?.status === 'False'
}

/** The host has no room for what it writes; it waits in the middle of that, and loses nothing. */
export function room(environment: Environment, held: boolean, nowMs: Millis): EnvironmentStatus {
  const hint = 'make room on the host of the runner: delete environments, snapshots or files there'
  const verdict: Verdict = held
    ? {
        type: ROOM,
        status: 'False',
        reason: 'HostFull',
        message: 'it is held up until its host has room again',
        hint,
      }
    : { type: ROOM, status: 'True', reason: 'RoomAgain', message: 'its host has room' }
  return next(environment, environment.status.phase, nowMs, [verdict])
}

export function stopping(environment: Environment, nowMs: Millis): EnvironmentStatus {
  return next(environment, 'Stopping', nowMs, [notReady('Stopping', 'everything inside is asked to end')])
}

export function stopped(environment: Environment, nowMs: Millis): EnvironmentStatus {
  const message = environment.status.epoch === 0 ? 'it was never started' : 'it is stopped; its disk is kept'
  return next(environment, 'Stopped', nowMs, [bound(environment), notReady('Stopped', message)])
}

export function deleting(environment: Environment, nowMs: Millis, fault?: Fault): EnvironmentStatus {
  const verdict =
    fault === undefined
      ? notReady('Deleting', 'sandbox and disk are being removed')
      : notReady('DeleteFailed', `${fault.message}; it is tried again`, fault.hint)
  return next(environment, 'Deleting', nowMs, [verdict])
}

export interface Failure extends Progress {
  readonly fault: Fault
  /** The stage in which it happened. */
  readonly stage: string | undefined
  /** Absent: it is not tried again. */
  readonly retry?: { readonly inMs: Millis; readonly attempt: number; readonly limit: number }
}

/** An attempt failed: another one follows, or `Failed` is where it stays. */
export function failed(
  environment: Environment,
  { fault, stage, retry, stages, nowMs }: Failure,
): EnvironmentStatus {
  const again =
    retry && `trying again in ${seconds(retry.inMs)} (attempt ${retry.attempt + 1} of ${retry.limit})`
  const message = again === undefined ? fault.message : `${fault.message}; ${again}`
  const reason = camelCase(fault.code)
  const part = stage === 'image' ? 'ImageReady' : stage === 'content' ? 'ContentReady' : undefined
  const verdict = { ...notReady(reason, message, fault.hint), fault: fault.reason }
  const verdicts = [bound(environment), verdict]
  if (part !== undefined) verdicts.push({ ...verdict, type: part, message: fault.message })
  const before = environment.status.phase
  const phase = retry === undefined ? 'Failed' : before === 'Starting' ? 'Starting' : 'Creating'
  return next(environment, phase, nowMs, verdicts, { stages: [...stages] })
}

/** How a sandbox ended, in words. */
export function describeExit(exit: Exit | undefined): string {
  if (exit === undefined) return 'the sandbox was not found any more'
  if ('code' in exit)
    return exit.code < 0 ? 'the sandbox ended' : `the sandbox ended with exit code ${exit.code}`
  return exit.oomKilled === true ? 'the sandbox ran out of memory' : `the sandbox was ended by ${exit.signal}`
}

/** `ref-not-found` as a condition's reason: `RefNotFound`. */
export function camelCase(code: string): string {
  return code
    .split(/[^A-Za-z0-9]+/)
    .map(word => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join('')
}

function next(
  { status, metadata }: Environment,
  phase: EnvironmentPhase,
  nowMs: Millis,
  verdicts: readonly Verdict[],
  more: Partial<EnvironmentStatus> = {},
): EnvironmentStatus {
  const observedGeneration = metadata.generation
  const now = timestamp(nowMs)
  const conditions = verdicts.reduce<readonly Condition[]>(
    (all, verdict) => setCondition(all, { ...verdict, observedGeneration }, now),
    status.conditions,
  )
  return { ...status, ...more, phase, observedGeneration, conditions: [...conditions] }
}

function notReady(reason: string, message: string, hint?: string): Verdict {
  return { type: READY, status: 'False', reason, message, ...(hint === undefined ? {} : { hint }) }
}

/** Scheduled is the scheduler's until the environment is bound, and ours from then on. */
function bound({ spec }: Environment): Verdict {
  return {
    type: 'Scheduled',
    status: 'True',
    reason: 'Bound',
    message: `it is bound to runner '${spec.runner}'`,
  }
}

/** Not known yet, and at what it is; content follows the image, so it is there once that has begun. */
function imageProgress(stages: readonly Stage[]): Verdict[] {
  const type = 'ImageReady'
  if (stages.some(stage => stage.name === 'content'))
    return [{ type, status: 'True', reason: 'Unpacked', message: 'the image is here' }]
  const image = stages.find(stage => stage.name === 'image' && stage.ended === undefined)
  if (image === undefined) return []
  return [{ type, status: 'Unknown', reason: 'Fetching', message: image.message ?? 'it is looked for' }]
}

function imageReady({ reference, fallback }: ImageVerdict): Verdict {
  const type = 'ImageReady'
  return fallback === undefined
    ? { type, status: 'True', reason: 'Unpacked', message: `image ${reference} is here` }
    : { type, status: 'True', reason: 'Fallback', message: `using ${reference}: ${fallback}` }
}

/** Said only once there was something wrong with it. */
function diskReady({ status }: Environment, fault: Fault | undefined): Verdict[] {
  const type = 'DiskReady'
  if (fault !== undefined) {
    const { code, message, hint, reason } = fault
    const why = { reason: camelCase(code), message, fault: reason, ...(hint === undefined ? {} : { hint }) }
    return [{ type, status: 'False', ...why }]
  }
  if (findCondition(status.conditions, type) === undefined) return []
  return [{ type, status: 'True', reason: 'Sized', message: 'its disk is as large as it is to be' }]
}

const NETWORK = 'NetworkReady'

/** Is there something to tell that was not told? Most policies are kept to the letter, and nothing is said. */
export function isNetworkNews({ status }: Environment, closed: readonly string[]): boolean {
  const told = findCondition(status.conditions, NETWORK)
  const verdict = networkReady(closed)
  return told === undefined ? closed.length > 0 : told.message !== verdict.message
}

/** `closed`: networks that its class allows and this runner does not. */
export function network(
  environment: Environment,
  closed: readonly string[],
  nowMs: Millis,
): EnvironmentStatus {
  const conditions = setCondition(environment.status.conditions, networkReady(closed), timestamp(nowMs))
  return { ...environment.status, conditions: [...conditions] }
}

function networkReady(closed: readonly string[]): Verdict {
  if (closed.length === 0)
    return { type: NETWORK, status: 'True', reason: 'Permitted', message: 'it reaches what its class allows' }
  const names = closed.slice(0, 10).join(', ')
  return {
    type: NETWORK,
    status: 'False',
    reason: 'EgressNotPermitted',
    message: `its class allows private networks that this runner does not permit: ${names}`,
    hint: 'add them to network.allow in runner.yaml and restart the runner, or take them out of the class',
  }
}

function contentReady({ spec, status }: Environment, git: ClonedContent | undefined): Verdict {
  const done = { type: 'ContentReady', status: 'True' } as const
  if (spec.content.empty !== undefined) return { ...done, reason: 'Empty', message: 'it starts with nothing' }
  if (spec.content.environment !== undefined || spec.content.snapshot !== undefined) {
    const { environment, snapshot } = spec.content
    const what =
      environment === undefined ? `snapshot '${snapshot?.name}'` : `environment '${environment.name}'`
    return { ...done, reason: 'Copied', message: `it begins with what ${what} held` }
  }
  const { directory, commit } = git ?? status.git ?? {}
  const message =
    directory === undefined
      ? 'the content is there'
      : `/workspaces/${directory} is at commit ${commit?.slice(0, 12)}`
  return { ...done, reason: spec.content.git === undefined ? 'Received' : 'Cloned', message }
}

function seconds(ms: Millis): string {
  return `${Math.max(1, Math.round(ms / 1000))} s`
}
