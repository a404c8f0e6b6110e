import { isIP } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import type { Millis } from '../lib/clock.ts'
import { Fault } from '../lib/fault.ts'
import { networkFault } from './transport.ts'

export interface DialTarget {
  readonly host: string
  readonly port: number
  /** PEM: the only authority whose certificates are believed. Absent: none is checked; see `fetchPinnedCa`. */
  readonly ca: string | undefined
}

/**
 * A TLS connection whose other end has proven who it is. Faults with `unavailable` when it cannot be had within
 * `timeoutMs`, with `cancelled` when `signal` aborts; nothing has been sent by then.
 */
export function dialTls(target: DialTarget, timeoutMs: Millis, signal?: AbortSignal): Promise<TLSSocket> {
  const { host, port, ca } = target
  const where = `https://${isIP(host) === 6 ? `[${host}]` : host}:${port}`
  const attempt = `connect to ${where}`
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(new Fault('cancelled', 'dial-cancelled', `${attempt}: cancelled`))
    const socket = connect({
      host,
      port,
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: ca !== undefined,
      ...(ca === undefined ? {} : { ca }),
      // Server names are for names (RFC 6066); addresses are checked against the certificate all the same.
      ...(isIP(host) === 0 ? { servername: host } : {}),
    })
    const end = (error: Error) => {
      socket.destroy()
      settle()
      reject(networkFault(error, attempt, where))
    }
    const onAbort = () => end(new Fault('cancelled', 'dial-cancelled', `${attempt}: cancelled`))
    const onTimeout = () =>
      end(new Fault('unavailable', 'dial-timeout', `${attempt}: nothing answered within ${timeoutMs} ms`))
    // The time of the whole dial, not of one step: name, TCP and TLS together.
    const timeout = AbortSignal.timeout(timeoutMs)
    const settle = () => {
      timeout.removeEventListener('abort', onTimeout)
      signal?.removeEventListener('abort', onAbort)
      socket.off('error', end)
    }
    timeout.addEventListener('abort', onTimeout, { once: true })
    signal?.addEventListener('abort', onAbort, { once: true })
    socket.on('error', end)
    socket.once('secureConnect', () => {
      settle()
      resolve(socket)
    })
  })
}
