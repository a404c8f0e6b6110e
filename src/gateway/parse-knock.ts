// What somebody at the door asks for, before any credential is looked at. There is exactly one way to write each
// entrance: whatever would need decoding, resolving or lower-casing first is refused, so that no two readers of the same
// request (a proxy, a log, the token check) can ever understand it differently.
import type { IncomingMessage } from 'node:http'
import { ENTRANCES, type EntranceKind, SUBPROTOCOL } from '../api/channels.ts'
import { Fault } from '../lib/fault.ts'
import { isUuid } from '../lib/ids.ts'

export interface Knock {
  readonly environmentUid: string
  readonly kind: EntranceKind
  readonly token: string
}

/** The part of a request that is judged. */
export type KnockRequest = Pick<IncomingMessage, 'method' | 'url' | 'headers' | 'rawHeaders'>

// A compact JWS is three base64url parts; the length bounds what a stranger can make us verify.
const BEARER = /^Bearer ([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/
const TOKEN_BYTES = 4096
const ONCE = ['host', 'authorization', 'sec-websocket-key', 'sec-websocket-protocol', 'origin', 'upgrade']

/** Faults with `malformed`, `not_found`, `forbidden` or `unauthenticated`; the code says what was wrong. */
export function parseKnock(request: KnockRequest): Knock {
  for (const name of ONCE) {
    if (countOf(request.rawHeaders, name) > 1) {
      throw new Fault(
        'malformed',
        'entrance-header-twice',
        `enter: the header ${name} is there more than once`,
      )
    }
  }
  const [, root, environmentUid = '', kind = '', ...more] = (request.url ?? '').split('/')
  if (
    request.method !== 'GET' ||
    !request.url?.startsWith('/entrance/') ||
    root !== 'entrance' ||
    more.length > 0
  ) {
    throw new Fault('not_found', 'entrance-path-unknown', 'enter: there is no such entrance')
  }
  if (!isUuid(environmentUid) || !isEntrance(kind)) {
    throw new Fault('not_found', 'entrance-path-unknown', 'enter: there is no such entrance')
  }
  if (request.headers.origin !== undefined) {
    const hint = 'environments are entered with the command line'
    throw new Fault('forbidden', 'entrance-from-browser', 'enter: browsers are not let in here', { hint })
  }
  if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
    throw new Fault('malformed', 'entrance-no-websocket', 'enter: not a WebSocket handshake')
  }
  if (request.headers['sec-websocket-protocol'] !== SUBPROTOCOL) {
    const hint = 'are client and runner of the same version?'
    throw new Fault('malformed', 'entrance-protocol-unknown', `enter: the protocol is not ${SUBPROTOCOL}`, {
      hint,
    })
  }
  const { authorization = '' } = request.headers
  const token = authorization.length <= TOKEN_BYTES ? BEARER.exec(authorization)?.[1] : undefined
  if (token === undefined) {
    throw new Fault('unauthenticated', 'entrance-token-missing', 'enter: there is no token')
  }
  return { environmentUid, kind, token }
}

function isEntrance(word: string): word is EntranceKind {
  return (ENTRANCES as readonly string[]).includes(word)
}

/** `rawHeaders` alternates names and values; Node's `headers` has merged or dropped duplicates already. */
function countOf(rawHeaders: readonly string[], name: string): number {
  return rawHeaders.filter((word, index) => index % 2 === 0 && word.toLowerCase() === name).length
}
