// The client's side of an entrance, whatever its kind: dial, ask, wait until it is open, learn how it ended.
import type { WebSocket } from 'ws'
import { CHANNEL, MESSAGE_BYTES, SUBPROTOCOL } from '../api/channels.ts'
import { type EntranceGrant, exitSchema } from '../api/entrance.ts'
import type { Exit } from '../core/exec.ts'
import { systemClock } from '../lib/clock.ts'
import { Fault, isFault } from '../lib/fault.ts'
import { broken, ChannelSocket } from './channel-socket.ts'
import { dialWebSocket, parseWebSocketUrl } from './dial-websocket.ts'
import { keepAlive } from './keep-alive.ts'
import { isReason } from './status.ts'

/** A direct address that cannot be connected within this gives way to the next one, the relay. */
const DIRECT_MS = 2_000
const LAST_MS = 10_000
/** How long an aborted entrance may take to say how it ended. */
const STOP_MS = 5_000

export interface Entrance {
  readonly channels: ChannelSocket
  /** Resolves when the gateway has begun what was asked for; rejects with the fault that kept it from it. */
  readonly opened: Promise<void>
  /** How it ended, as the gateway says; rejects with its fault, or with `unavailable` when the connection broke. */
  readonly ended: Promise<Exit>
}

/**
 * Enters at the first address of the grant that can be connected, and asks for `request`. Aborting `signal` asks the
 * gateway to end it; `ended` then says how, or rejects with `cancelled` when no word comes.
 */
export async function enter(grant: EntranceGrant, request: unknown, signal: AbortSignal): Promise<Entrance> {
  const question = JSON.stringify(request)
  if (Buffer.byteLength(question) > MESSAGE_BYTES) {
    const hint = 'pass what is long through standard input'
    throw new Fault(
      'too_large',
      'request-too-large',
      'enter the environment: arguments and variables are too long',
      { hint },
    )
  }
  const socket = await dialFirst(grant, signal)
  const over = new AbortController()
  const opened = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<Exit>()
  // Whoever awaits them still sees the rejection; one that nobody awaits must not end the process.
  opened.promise.catch(() => undefined)
  ended.promise.catch(() => undefined)
  const finish = (error: Error | undefined, exit?: Exit) => {
    if (exit === undefined) {
      opened.reject(error ?? broken())
      ended.reject(error ?? broken())
    } else {
      opened.resolve()
      ended.resolve(exit)
    }
    socket.terminate()
  }
  const channels = new ChannelSocket(socket, {
    window: channel => channel === CHANNEL.stdin && opened.resolve(),
    status: bytes => {
      const verdict = parseVerdict(bytes)
      if (isFault(verdict)) finish(verdict)
      else finish(undefined, verdict)
    },
    closed: () => {
      over.abort()
      signal.removeEventListener('abort', onAbort)
      finish(signal.aborted ? cancelled() : undefined)
    },
  })
  // Ends with the connection; nothing waits for it.
  void keepAlive(socket, systemClock, over.signal)
  const onAbort = () => {
    channels.sendStop()
    systemClock.sleep(STOP_MS, over.signal).then(
      () => finish(cancelled()),
      () => undefined, // It said how it ended, or the connection did end.
    )
  }
  channels.sendText(question)
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  socket.resume()
  return { channels, opened: opened.promise, ended: ended.promise }
}

async function dialFirst(grant: EntranceGrant, signal: AbortSignal): Promise<WebSocket> {
  let last: unknown
  for (const [index, text] of grant.urls.entries()) {
    const url = parseWebSocketUrl(text)
    const isLast = index === grant.urls.length - 1
    const target = { url, ca: grant.ca, token: grant.token, subprotocol: SUBPROTOCOL }
    try {
      return await dialWebSocket(target, isLast ? LAST_MS : DIRECT_MS, signal)
    } catch (error) {
      // Another machine may sit at the runner's private address in this network: its certificate gives it away, the
      // token was not sent, and the next address is tried. Answers are final.
      if (!isFault(error) || !NOT_CONNECTED.has(error.code)) throw error
      last = error
    }
  }
  throw (
    last ??
    new Fault('malformed', 'grant-without-address', 'enter the environment: the grant names no address')
  )
}

const NOT_CONNECTED: ReadonlySet<string> = new Set(['dial-timeout', 'server-unreachable'])

function parseVerdict(bytes: Uint8Array): Exit | Fault {
  const parsed = exitSchema.safeParse(parseJson(bytes))
  if (!parsed.success) {
    const hint = 'are client and runner of the same version?'
    return new Fault('internal', 'verdict-malformed', "the gateway's last word makes no sense", { hint })
  }
  if ('code' in parsed.data) return parsed.data
  if ('signal' in parsed.data) {
    const { signal, oomKilled } = parsed.data
    // Names of signals are the runner's; one that this machine does not know is shown as it is.
    const name = signal as NodeJS.Signals
    return oomKilled === true ? { signal: name, oomKilled } : { signal: name }
  }
  const { reason, code, message, hint } = parsed.data.fault
  return new Fault(isReason(reason) ? reason : 'internal', code, message, hint === undefined ? {} : { hint })
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    return undefined // What is not JSON makes no sense either.
  }
}

function cancelled(): Fault {
  return new Fault('cancelled', 'entrance-cancelled', 'the entrance was ended before it was done')
}
