// What a runner says of itself: its Runner object's status, all but condition Ready, which is the control plane's.
import { type Condition, setCondition } from '../api/conditions.ts'
import type { Isolation } from '../api/isolation.ts'
import type { RunnerStatus } from '../api/kinds/runner.ts'
import type { DriverHealth } from '../core/driver.ts'
import type { Store } from '../core/store.ts'
import { writeStatus } from '../core/write.ts'
import { type Millis, timestamp } from '../lib/clock.ts'
import { Fault } from '../lib/fault.ts'
import { camelCase } from './environments/status.ts'
import type { RunnerIdentityFile } from './identity.ts'
import type { StorageStatus } from './storage.ts'

export interface OwnStatus {
  readonly version: string
  readonly driver: string
  readonly gatewayUrl: string | undefined
  readonly devices: readonly string[]
  /** Undefined: not known yet, or of a driver that governs nothing. */
  readonly capacity: RunnerStatus['capacity']
  readonly isolations: readonly Isolation[]
  /** Absent: not measured yet. */
  readonly storage?: StorageStatus | undefined
  readonly ready: Omit<Condition, 'lastTransitionTime' | 'type'>
}

/** The next status; pure. */
export function describeRunner(before: RunnerStatus, own: OwnStatus, nowMs: Millis): RunnerStatus {
  const { gateway: _, devices: __, capacity: ___, isolations: ____, ...rest } = before
  return {
    ...rest,
    version: own.version,
    driver: own.driver,
    ...(own.gatewayUrl === undefined ? {} : { gateway: { url: own.gatewayUrl } }),
    ...(own.storage === undefined ? {} : { storage: own.storage }),
    ...(own.devices.length === 0 ? {} : { devices: [...own.devices] }),
    ...(own.capacity === undefined ? {} : { capacity: own.capacity }),
    ...(own.isolations.length === 0 ? {} : { isolations: [...own.isolations] }),
    conditions: setCondition(before.conditions, { type: 'DriverReady', ...own.ready }, timestamp(nowMs)),
  }
}

export function judgeDriver(health: DriverHealth): OwnStatus['ready'] {
  const wrong = health.checks.filter(check => check.required && !check.ok)
  const [first] = wrong
  if (health.ok || first === undefined)
    return { status: 'True', reason: 'Healthy', message: 'it can run environments' }
  return {
    status: 'False',
    reason: 'CheckFailed',
    message: wrong.map(check => `${check.name}: ${check.found}`).join('; '),
    ...(first.hint === undefined ? {} : { hint: first.hint }),
  }
}

/** Faults with `unsupported` and names what is missing: what would be tried without it fails in some less clear way. */
export function requireHealth(health: DriverHealth): void {
  const { status, message } = judgeDriver(health)
  if (status === 'True') return
  throw new Fault('unsupported', 'host-lacks', `run environments on this machine: it lacks ${message}`, {
    hint: "'bothy doctor' says what to do about it",
  })
}

export function judgeFault(fault: Fault): OwnStatus['ready'] {
  const { code, message, hint } = fault
  return { status: 'False', reason: camelCase(code), message, ...(hint === undefined ? {} : { hint }) }
}

/** Faults with `not_found` when the Runner object is gone or is another one. */
export async function writeOwnStatus(
  store: Store,
  { runner }: Pick<RunnerIdentityFile, 'runner'>,
  own: OwnStatus,
  nowMs: Millis,
): Promise<void> {
  const found = await store.find({ kind: 'Runner', namespace: runner.namespace, name: runner.name })
  if (found === undefined || found.metadata.uid !== runner.uid) {
    throw new Fault(
      'not_found',
      'runner-deleted',
      `write the status of runner '${runner.name}': it does not exist any more`,
      {
        hint: 'create it anew and enrol this machine again',
      },
    )
  }
  await writeStatus(store, found, latest => describeRunner(latest.status, own, nowMs))
}
