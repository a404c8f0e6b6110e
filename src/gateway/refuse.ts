import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { type Fault, REASONS } from '../lib/fault.ts'

/** The answer to one who is not let in, with the fault as a Kubernetes `Status`; then the connection ends. */
export function refuse(socket: Duplex, fault: Fault): void {
  const body = refusalBody(fault)
  const { status } = REASONS[fault.reason]
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Refused'}`,
    'Connection: close',
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  // Who hangs up before the answer has had it.
  socket.on('error', () => undefined)
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy())
}

export function refusalBody({ reason, code, message, hint }: Fault): string {
  return JSON.stringify({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason: REASONS[reason].kube,
    code: REASONS[reason].status,
    details: { bothy: { reason, code, hint } },
  })
}
