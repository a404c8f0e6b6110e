// HTTP requests to one server. On `node:https` and not on undici, because the command line loads this at every start:
// CPU time to import, compile cache warm, Node 24.21, November 2026: nothing 16 ms, node:https 30 ms, undici 72 ms.
import type { IncomingMessage } from 'node:http'
import { Agent, type RequestOptions as HttpsOptions, request as httpsRequest } from 'node:https'
import { Fault } from '../lib/fault.ts'
import { parseServerUrl } from './server-url.ts'
import { faultOfAnswer } from './status.ts'

/** Longest wait for the head of an answer. Watches send theirs at once. */
const ANSWER_MS = 60_000
/** Largest answer read into memory: a page of a list, with room to spare. */
const ANSWER_BYTES = 64 * 1024 * 1024
/** Largest answer read of a refusal. */
const REFUSAL_BYTES = 256 * 1024

export interface Outgoing {
  readonly method: string
  /** Starts with one `/`; carries its query. */
  readonly path: string
  readonly body?: unknown
  readonly contentType?: string
  readonly signal?: AbortSignal
}

export interface Transport {
  readonly origin: string
  /** The whole answer as text. Faults for any status but 2xx. */
  text(outgoing: Outgoing): Promise<string>
  /** The answer while it comes; the caller reads it to its end or destroys it. Faults for any status but 2xx. */
  stream(outgoing: Outgoing): Promise<IncomingMessage>
  close(): void
}

export interface TransportOptions {
  readonly server: string
  /** PEM: the only authority that the server's certificate may come from. */
  readonly ca: string
  /** The bearer token for the next request; '' sends none. */
  readonly credential: () => string | Promise<string>
}

export function createTransport({ server, ca, credential }: TransportOptions): Transport {
  const { origin, host, port } = parseServerUrl(server)
  const agent = new Agent({
    ca,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    keepAlive: true,
    maxSockets: 128,
  })

  const attemptOnce = async (outgoing: Outgoing, attempt: string): Promise<IncomingMessage> => {
    const token = await credential()
    const body = outgoing.body === undefined ? undefined : Buffer.from(JSON.stringify(outgoing.body))
    const options: HttpsOptions = {
      agent,
      host,
      port,
      method: outgoing.method,
      path: outgoing.path,
      headers: {
        accept: 'application/json',
        // In whose name fields are set, when nothing else is said.
        'user-agent': 'bothy',
        ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined
          ? {}
          : { 'content-type': outgoing.contentType ?? 'application/json', 'content-length': body.length }),
      },
      ...(outgoing.signal === undefined ? {} : { signal: outgoing.signal }),
    }
    return send(options, body, attempt, origin)
  }

  const stream = async (outgoing: Outgoing): Promise<IncomingMessage> => {
    const attempt = `${outgoing.method} ${origin}${outgoing.path.replace(/\?.*$/s, '')}`
    if (!/^\/(?![/\\])[\x21-\x7e]*$/.test(outgoing.path)) {
      throw new Fault('malformed', 'path-invalid', `${attempt}: not a path on the server`)
    }
    if (outgoing.signal?.aborted) throw new Fault('cancelled', 'request-cancelled', `${attempt}: cancelled`)
    const answer = await attemptOnce(outgoing, attempt)
    const status = answer.statusCode ?? 0
    if (status >= 200 && status < 300) return answer
    if (status >= 300 && status < 400) {
      answer.destroy()
      // Following it would send the token to whoever wrote the answer.
      throw new Fault('unavailable', 'redirect-refused', `${attempt}: the server redirects elsewhere`, {
        hint: 'use the address of the server itself, without a redirecting proxy in between',
      })
    }
    throw faultOfAnswer(status, await read(answer, REFUSAL_BYTES, attempt, origin), attempt)
  }

  return {
    origin,
    stream,
    async text(outgoing) {
      const attempt = `${outgoing.method} ${origin}${outgoing.path.replace(/\?.*$/s, '')}`
      return read(await stream(outgoing), ANSWER_BYTES, attempt, origin)
    },
    close: () => agent.destroy(),
  }
}

function send(
  options: HttpsOptions,
  body: Buffer | undefined,
  attempt: string,
  origin: string,
  fresh = false,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(options)
    const late = new Fault('timeout', 'no-answer', `${attempt}: no answer within ${ANSWER_MS / 1000} s`, {
      hint: `check that the server at ${origin} is well: its /healthz, its log`,
    })
    request.setTimeout(ANSWER_MS, () => request.destroy(late))
    request.once('response', answer => {
      request.setTimeout(0)
      resolve(answer)
    })
    request.once('error', error => {
      // A kept connection that the server closed while this request was on its way. What only reads may go again.
      const stale = request.reusedSocket && !fresh && options.method === 'GET' && isReset(error)
      if (stale) send(options, body, attempt, origin, true).then(resolve, reject)
      else reject(networkFault(error, attempt, origin))
    })
    request.end(body)
  })
}

async function read(
  answer: IncomingMessage,
  limit: number,
  attempt: string,
  origin: string,
): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > limit)
        throw new Fault('too_large', 'answer-too-large', `${attempt}: the answer exceeds ${limit} bytes`)
      chunks.push(chunk)
    }
  } catch (error) {
    throw networkFault(error, attempt, origin)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** What a socket said, as a fault: by its code, never by its message. */
export function networkFault(error: unknown, attempt: string, origin: string): Error {
  if (!(error instanceof Error) || error.name === 'Fault') return error as Error
  if (error.name === 'AbortError') return new Fault('cancelled', 'request-cancelled', `${attempt}: cancelled`)
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return new Fault('unavailable', 'server-unreachable', `${attempt}: ${code || error.message}`, {
    cause: error,
    hint: hintOf(code, origin),
  })
}

// OpenSSL's names for certificates that do not lead to the given authority, or that are for another name or time.
const CERTIFICATE =
  /^(UNABLE_TO_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|ERR_TLS_CERT_ALTNAME|INVALID_CA|HOSTNAME_MISMATCH)/

function hintOf(code: string, origin: string): string {
  if (CERTIFICATE.test(code)) {
    return `the certificate of ${origin} is not one that this server's own authority signed for that address; make sure that it is your server`
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return `the host name in ${origin} does not resolve; check the address`
  return `is the server running at ${origin}? 'bothy up' or 'bothy server' starts it`
}

function isReset(error: Error): boolean {
  return 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
}
