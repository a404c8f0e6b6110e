import type { IncomingMessage } from 'node:http'

// What belongs to the client's handshake. Everything else is hop-by-hop or none of the runner's business.
const PASSED: readonly string[] = [
  'host',
  'authorization',
  'origin',
  'user-agent',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-protocol',
  'sec-websocket-extensions',
]

/**
 * The client's request as the runner's gateway is to see it, at `path`. Node has refused line breaks in header values
 * already, so that none can be smuggled in.
 */
export function requestHead(request: IncomingMessage, path: string): string {
  const lines = [`GET ${path} HTTP/1.1`, 'Connection: Upgrade', 'Upgrade: websocket']
  for (const name of PASSED) {
    const value = request.headers[name]
    if (typeof value === 'string') lines.push(`${name}: ${value}`)
  }
  return `${lines.join('\r\n')}\r\n\r\n`
}
