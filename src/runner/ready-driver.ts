// The driver, from the start of the runner: ready it, and say of it what is true.
import type { Driver } from '../core/driver.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import { toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import { judgeDriver, judgeFault, requireHealth } from './own-status.ts'
import type { Equipment, OwnStatusLoop } from './own-status-loop.ts'

export interface ReadyDriverOptions {
  readonly driver: Driver
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

const HEALTH_MS: Millis = 60_000
const BACKOFF = { baseMs: 500, maxMs: 30_000 }

/** Until the driver is ready: without it nothing can be done here, and people are told why. False: aborted first. */
export async function readyDriver(
  { driver, log, signal, clock }: ReadyDriverOptions,
  own: Pick<OwnStatusLoop, 'equip' | 'say'>,
): Promise<boolean> {
  for (let failures = 0; !signal.aborted; ) {
    try {
      requireHealth(await driver.health())
      await driver.prepare(signal)
      own.equip(await equipmentOf(driver))
      own.say(judgeDriver(await driver.health()))
      return true
    } catch (error) {
      if (signal.aborted) return false
      const fault = toFault(error)
      failures += 1
      log.error(
        { reason: fault.reason, code: fault.code, message: fault.message, hint: fault.hint },
        'driver not ready',
      )
      own.say(judgeFault(fault))
      await clock.sleep(backoffMs(failures, BACKOFF), signal).catch(() => undefined) // Aborted: the loop sees it.
    }
  }
  return false
}

/** Looks every minute whether what the host has is still there, until `signal` aborts. */
export async function watchHealth(
  { driver, clock, signal }: ReadyDriverOptions,
  own: Pick<OwnStatusLoop, 'equip' | 'say'>,
): Promise<void> {
  while (!signal.aborted) {
    await clock.sleep(HEALTH_MS, signal).catch(() => undefined) // Aborted: the loop sees it.
    if (signal.aborted) return
    own.say(await driver.health().then(judgeDriver, error => judgeFault(toFault(error))))
    own.equip(await equipmentOf(driver))
  }
}

async function equipmentOf(driver: Driver): Promise<Equipment> {
  const [devices, isolations] = await Promise.all([driver.listDevices(), driver.listIsolations()])
  return { devices, isolations }
}
