// Keeps the runner's gateway served: its certificate, the keys that it verifies entrances with, and the relay.
import type { JWK } from 'jose'
import type { ApiClient } from '../client/create-client.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import { toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import { requestCertificate } from './certificate.ts'
import type { Entrances } from './entrances.ts'
import type { RunnerIdentityFile } from './identity.ts'

/** What the loop needs of a gateway; `src/gateway` has it. */
export interface RunnerGateway {
  listen(options: {
    readonly host: string
    readonly port: number
    readonly certificate: string
    readonly key: string
  }): Promise<{ url: string }>
  renew(certificate: { readonly certificate: string; readonly key: string }): void
  close(): Promise<void>
}

export interface GatewayOptions {
  /** Where to listen for direct connections; absent: through the relay only. */
  readonly listen?: {
    readonly host: string
    readonly port: number
    /** Names or addresses under which clients reach it; the first one is advertised. Default: `host`. */
    readonly hosts?: readonly string[]
  }
  /** Makes the gateway, over what this runner serves and the keys that admit. */
  readonly open: (entrances: Entrances, keys: () => readonly JWK[]) => RunnerGateway
  /** Keeps the relay up until `signal` aborts. Absent: direct connections only. */
  readonly relay?: (gateway: RunnerGateway, signal: AbortSignal) => Promise<void>
}

interface LoopOptions {
  readonly identity: RunnerIdentityFile
  readonly client: Pick<ApiClient, 'request'>
  readonly entrances: Entrances
  readonly clock: Clock
  readonly log: Log
  readonly signal: AbortSignal
}

export interface GatewayLoop {
  /** Where it is reached directly, once it listens. */
  url(): string | undefined
  onUrl(listener: () => void): void
  run(): Promise<void>
}

const BACKOFF = { baseMs: 500, maxMs: 60_000 }
// The server overlaps two keys while it changes them; an hour is well within that.
const KEYS_MS: Millis = 3_600_000
const RETRY_KEYS_MS: Millis = 30_000

export function createGatewayLoop(options: GatewayOptions, loop: LoopOptions): GatewayLoop {
  const { identity, client, entrances, clock, log, signal } = loop
  let keys = identity.jwks.keys as readonly JWK[]
  let url: string | undefined
  let tell = (): void => undefined

  /** Certificate first, then the door; renewed when two thirds of its life are over. */
  const serve = async (
    gateway: RunnerGateway,
    { host, port, hosts = [host] }: NonNullable<GatewayOptions['listen']>,
  ) => {
    for (let failures = 0; !signal.aborted; ) {
      try {
        const { certificate, key, expiresMs } = await requestCertificate(client, hosts, signal)
        if (url === undefined) {
          const listening = await gateway.listen({ host, port, certificate, key })
          url = advertised(listening.url, hosts[0] ?? host)
          log.info({ url }, 'gateway listens')
          tell()
        } else gateway.renew({ certificate, key })
        failures = 0
        await clock.sleep(Math.max(((expiresMs - clock.now()) * 2) / 3, 60_000), signal)
      } catch (error) {
        if (signal.aborted) return
        failures += 1
        const { reason, code, message, hint } = toFault(error)
        log.warn({ reason, code, message, hint }, 'gateway not reachable directly')
        await clock.sleep(backoffMs(failures, BACKOFF), signal).catch(() => undefined) // Aborted: the loop sees it.
      }
    }
  }

  const followKeys = async () => {
    while (!signal.aborted) {
      let pauseMs = KEYS_MS
      try {
        const found = await client.request<{ keys: JWK[] }>('GET', '/.well-known/jwks.json', { signal })
        if (Array.isArray(found?.keys) && found.keys.length > 0) keys = found.keys
      } catch (error) {
        if (signal.aborted) return
        const { reason, code, message } = toFault(error)
        log.debug({ reason, code, message }, 'keys not refreshed') // Those of the enrolment go on being good.
        pauseMs = RETRY_KEYS_MS
      }
      await clock.sleep(pauseMs, signal).catch(() => undefined) // Aborted: the loop sees it.
    }
  }

  return {
    url: () => url,
    onUrl(listener) {
      tell = listener
    },
    async run() {
      const gateway = options.open(entrances, () => keys)
      try {
        await Promise.all([
          followKeys(),
          options.listen === undefined ? undefined : serve(gateway, options.listen),
          options.relay?.(gateway, signal),
        ])
      } finally {
        await gateway.close()
      }
    },
  }
}

/** The port it got, at the name it is known by. */
function advertised(listening: string, host: string): string {
  const { port } = new URL(listening)
  return `https://${host.includes(':') ? `[${host}]` : host}:${port}`
}
