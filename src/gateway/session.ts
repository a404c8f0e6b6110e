// One entrance from handshake to end, whatever its kind: hear what is asked, do it, say how it ended.
import type { WebSocket } from 'ws'
import type { z } from 'zod'
import {
  CHANNEL,
  contentRequestSchema,
  type EntranceClaims,
  execRequestSchema,
  logsRequestSchema,
  ttySizeSchema,
} from '../api/entrance.ts'
import { ChannelSocket } from '../client/channel-socket.ts'
import { keepAlive } from '../client/keep-alive.ts'
import type { Exit } from '../core/exec.ts'
import type { Clock, Millis } from '../lib/clock.ts'
import { Fault, toFault } from '../lib/fault.ts'
import type { Log } from '../lib/log.ts'
import type { GatewayBackend } from './gateway-backend.ts'
import { serveContent } from './serve-content.ts'
import { type ResizeListener, serveExec } from './serve-exec.ts'
import { serveLogs } from './serve-logs.ts'

/** How long after the handshake a client may take to say what it wants. */
const QUESTION_MS: Millis = 10_000

export interface SessionContext {
  readonly backend: GatewayBackend
  readonly clock: Clock
  readonly log: Log
  /** Aborts when the gateway closes. */
  readonly signal: AbortSignal
}

/** Resolves when the entrance is over and the client was told how it ended, if it was still there to hear it. */
export async function serveEntrance(
  socket: WebSocket,
  { act, env, sub }: EntranceClaims,
  { backend, clock, log, signal }: SessionContext,
): Promise<void> {
  const over = new AbortController()
  const closed = Promise.withResolvers<void>()
  const stop = AbortSignal.any([over.signal, signal])
  const question = Promise.withResolvers<string>()
  // Lost when the client leaves before it is awaited.
  question.promise.catch(() => undefined)
  let onResize: ResizeListener | undefined
  let served = false
  const channels = new ChannelSocket(socket, {
    text: message => question.resolve(message),
    resize: bytes => {
      const size = ttySizeSchema.safeParse(parseJson(Buffer.from(bytes).toString('utf8')))
      if (size.success) onResize?.(size.data)
    },
    stop: () => over.abort(),
    closed: () => {
      question.reject(new Fault('cancelled', 'entrance-left', 'the client left'))
      closed.resolve()
      if (!served) over.abort()
    },
  })
  const alive = new AbortController()
  const kept = keepAlive(socket, clock, alive.signal)
  const serve = async (): Promise<Exit> => {
    const text = await within(QUESTION_MS, question.promise, clock, stop)
    switch (act) {
      case 'exec': {
        const request = parseQuestion(execRequestSchema, text)
        const listen = (listener: ResizeListener) => {
          onResize = listener
        }
        return serveExec(channels, await backend.exec(env), request, listen, stop)
      }
      case 'content':
        return serveContent(channels, backend, env, parseQuestion(contentRequestSchema, text), stop)
      case 'logs':
        return serveLogs(channels, backend, env, parseQuestion(logsRequestSchema, text), stop)
    }
  }
  const started = clock.now()
  const verdict: Exit | { fault: object } = await serve().catch(error => {
    const { reason, code, message, hint } = toFault(error)
    if (reason === 'internal') log.error({ err: error, env, act }, 'entrance failed')
    return { fault: { reason, code, message, ...(hint === undefined ? {} : { hint }) } }
  })
  served = true
  channels.sendJson(CHANNEL.status, verdict)
  socket.close(1000)
  await closed.promise
  alive.abort()
  await kept
  log.info({ env, act, sub, verdict, ms: clock.now() - started }, 'entrance ended')
}

function parseQuestion<T>(schema: z.ZodType<T>, text: string): T {
  const parsed = schema.safeParse(parseJson(text))
  if (parsed.success) return parsed.data
  const causes = parsed.error.issues.map(issue => ({ field: issue.path.join('.'), message: issue.message }))
  const said = causes.map(({ field, message }) => `${field}: ${message}`).join('; ')
  throw new Fault('invalid', 'entrance-request-invalid', `enter: ${said}`, { causes })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // No schema takes that.
  }
}

async function within<T>(ms: Millis, promise: Promise<T>, clock: Clock, signal: AbortSignal): Promise<T> {
  const done = new AbortController()
  const late = clock.sleep(ms, AbortSignal.any([done.signal, signal])).then(
    () => {
      throw new Fault('timeout', 'entrance-silent', `enter: nothing was asked within ${ms / 1000} s`)
    },
    () => promise, // The question came, or nobody is left to wait for it.
  )
  try {
    return await Promise.race([promise, late])
  } finally {
    done.abort()
  }
}
