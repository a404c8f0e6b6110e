// Keeps what a runner says of itself as it should be, whatever becomes of the server meanwhile.
import { jsonEqual } from '../api/json-equal.ts'
import type { ApiClient } from '../client/create-client.ts'
import type { Driver } from '../core/driver.ts'
import { aborted } from '../lib/aborted.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock } from '../lib/clock.ts'
import { toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import type { RunnerIdentityFile } from './identity.ts'
import { type OwnStatus, writeOwnStatus } from './own-status.ts'
import type { StorageStatus } from './storage.ts'

export interface OwnStatusOptions {
  readonly identity: RunnerIdentityFile
  readonly client: Pick<ApiClient, 'store'>
  readonly driver: Pick<Driver, 'name'>
  readonly version: string
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

const BACKOFF = { baseMs: 500, maxMs: 30_000 }

/** What environments can be given here. */
export type Equipment = Pick<OwnStatus, 'devices' | 'isolations'>

export interface OwnStatusLoop {
  say(ready: OwnStatus['ready']): void
  equip(equipment: Equipment): void
  measure(capacity: OwnStatus['capacity']): void
  measured(storage: StorageStatus): void
  changed(): void
  run(): Promise<void>
}

/** Keeps the Runner object's status as it should be; a server that is away is told when it is back. */
export function createOwnStatus(
  options: OwnStatusOptions,
  gatewayUrl: () => string | undefined,
): OwnStatusLoop {
  const { client, identity, driver, version, clock, signal } = options
  let ready: OwnStatus['ready'] = {
    status: 'False',
    reason: 'Preparing',
    message: 'the host is being prepared',
  }
  let equipment: Equipment = { devices: [], isolations: [] }
  let capacity: OwnStatus['capacity']
  let storage: StorageStatus | undefined
  let due = Promise.withResolvers<void>()
  const changed = () => due.resolve()
  return {
    changed,
    say(next) {
      const news = !jsonEqual(ready, next)
      ready = next
      if (news) changed()
    },
    equip(next) {
      const news = !jsonEqual(equipment, next)
      equipment = next
      if (news) changed()
    },
    measure(next) {
      const news = !jsonEqual(capacity, next)
      capacity = next
      if (news) changed()
    },
    measured(next) {
      storage = next
      changed()
    },
    async run() {
      while (!signal.aborted) {
        due = Promise.withResolvers<void>()
        const write = () =>
          writeOwnStatus(
            client.store,
            identity,
            {
              version,
              driver: driver.name,
              gatewayUrl: gatewayUrl(),
              ...equipment,
              capacity,
              storage,
              ready,
            },
            clock.now(),
          )
        await persist('write the own status', write, options)
        await Promise.race([due.promise, aborted(signal)])
      }
    },
  }
}

/** Tries until it succeeds or the runner ends. */
export async function persist(
  what: string,
  body: () => Promise<void>,
  { clock, log, signal }: Pick<OwnStatusOptions, 'clock' | 'log' | 'signal'>,
): Promise<void> {
  for (let failures = 0; !signal.aborted; ) {
    try {
      return await body()
    } catch (error) {
      if (signal.aborted) return
      const { reason, code, message, hint } = toFault(error)
      failures += 1
      log.warn({ what, reason, code, message, hint }, 'trying again later')
      await clock.sleep(backoffMs(failures, BACKOFF), signal).catch(() => undefined) // Aborted: the loop sees it.
    }
  }
}
