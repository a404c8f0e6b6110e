// The tunnels that runners hold open. Over one, the server asks a runner to dial back; that is all it carries.
import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Clock } from '../../lib/clock.ts'
import { Fault } from '../../lib/fault.ts'
import type { Log } from '../../lib/log.ts'

export const TUNNEL_SUBPROTOCOL = 'v1.tunnel.bothy.dev'
/** How long a runner may take to dial back. */
const DIAL_BACK_MS = 10_000
/** A tunnel that answers no ping within this is gone, whatever TCP believes. */
const PING_MS = 20_000
/** Dials of one runner that may wait at once: more are a flood or a runner that is stuck. */
const MAX_PENDING = 128

interface Pending {
  readonly runnerUid: string
  readonly resolve: (socket: Duplex) => void
}

export class Tunnels {
  readonly #clock: Clock
  readonly #log: Log
  readonly #server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: 4096,
    perMessageDeflate: false,
    handleProtocols: offered => (offered.has(TUNNEL_SUBPROTOCOL) ? TUNNEL_SUBPROTOCOL : false),
  })
  readonly #byRunner = new Map<string, WebSocket>()
  readonly #pending = new Map<string, Pending>()
  readonly #closing = new AbortController()

  constructor(deps: { clock: Clock; log: Log }) {
    this.#clock = deps.clock
    this.#log = deps.log
  }

  /** Takes a runner's upgrade as its tunnel; an older one of the same runner gives way. */
  accept(runnerUid: string, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#server.handleUpgrade(request, socket, head, tunnel => {
      this.#byRunner.get(runnerUid)?.close(4000, 'replaced by a newer tunnel')
      this.#byRunner.set(runnerUid, tunnel)
      this.#log.info({ runner: runnerUid }, 'tunnel opened')
      tunnel.on('error', error => this.#log.debug({ runner: runnerUid, err: error }, 'tunnel error'))
      tunnel.on('close', code => {
        if (this.#byRunner.get(runnerUid) === tunnel) this.#byRunner.delete(runnerUid)
        this.#log.info({ runner: runnerUid, code }, 'tunnel closed')
      })
      void this.#keepAlive(tunnel)
    })
  }

  /** Asks the runner for a connection. Faults with `unavailable` without a tunnel, with `timeout` after 10 s. */
  async dial(runnerUid: string, signal: AbortSignal): Promise<Duplex> {
    const tunnel = this.#byRunner.get(runnerUid)
    if (tunnel === undefined || tunnel.readyState !== tunnel.OPEN) {
      const hint = 'is the runner up? It has to hold a connection to this server'
      throw new Fault('unavailable', 'runner-not-connected', 'relay: the runner is not connected', { hint })
    }
    const waiting = [...this.#pending.values()].filter(each => each.runnerUid === runnerUid).length
    if (waiting >= MAX_PENDING)
      throw new Fault('exhausted', 'relay-busy', 'relay: too many connections to this runner are being made')
    const id = randomBytes(18).toString('base64url')
    const over = new AbortController()
    const dialled = new Promise<Duplex>(resolve => this.#pending.set(id, { runnerUid, resolve }))
    try {
      tunnel.send(JSON.stringify({ dial: id }))
      const stop = AbortSignal.any([signal, over.signal, this.#closing.signal])
      return await Promise.race([dialled, this.#late(stop)])
    } finally {
      this.#pending.delete(id)
      over.abort()
    }
  }

  /** The waiting client's half of a dial, claimed by the runner it was meant for; undefined for anything else. */
  claim(id: string, runnerUid: string): ((socket: Duplex) => void) | undefined {
    const pending = this.#pending.get(id)
    if (pending === undefined || pending.runnerUid !== runnerUid) return undefined
    this.#pending.delete(id)
    return pending.resolve
  }

  close(): void {
    this.#closing.abort()
    for (const tunnel of this.#byRunner.values()) {
      tunnel.close(1001, 'the server is closing')
      tunnel.terminate()
    }
  }

  async #late(signal: AbortSignal): Promise<never> {
    await this.#clock.sleep(DIAL_BACK_MS, signal)
    const hint = 'the runner is connected but does not answer; look at its log'
    throw new Fault('timeout', 'dial-back-late', 'relay: the runner did not dial back in time', { hint })
  }

  async #keepAlive(tunnel: WebSocket): Promise<void> {
    let alive = true
    tunnel.on('pong', () => {
      alive = true
    })
    const over = new AbortController()
    tunnel.once('close', () => over.abort())
    try {
      for (;;) {
        await this.#clock.sleep(PING_MS, over.signal)
        if (!alive) return tunnel.terminate()
        alive = false
        tunnel.ping()
      }
    } catch {
      // Aborted: the tunnel is closed.
    }
  }
}
