import { Fault } from '../lib/fault.ts'

/** Where a server is, parsed once: the same value decides whom the token goes to and what is connected. */
export interface ServerUrl {
  /** `https://host:port`, without a trailing slash. */
  readonly origin: string
  /** As a socket takes it: IPv6 addresses without brackets. */
  readonly host: string
  readonly port: number
}

/** Faults with `malformed` unless `text` is `https://host[:port]` and nothing more. */
export function parseServerUrl(text: string): ServerUrl {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const refuse = (hint: string): never => {
    throw new Fault('malformed', 'server-url-invalid', `'${text}' is not the address of a server`, { hint })
  }
  if (url === undefined) return refuse('write https://HOST:PORT')
  if (url.protocol !== 'https:') return refuse('write https://…: tokens are never sent without TLS')
  if (url.username !== '' || url.password !== '') return refuse('leave out user and password')
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '')
    return refuse('leave out what follows the port')
  return { origin: url.origin, host: bareHost(url), port: Number(url.port || 443) }
}

/** `url.hostname` as sockets and certificates want it: `[::1]` is `::1`. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1')
}
