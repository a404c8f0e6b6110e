// Under which names and addresses a server is reached. Pure, given the host's interfaces.
import { isIP, isIPv6 } from 'node:net'
import type { NetworkInterfaceInfo } from 'node:os'

export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>

const LOOPBACK: readonly string[] = ['localhost', '127.0.0.1', '::1']

export interface Listening {
  /** What to bind to, e.g. `127.0.0.1` or `0.0.0.0`. */
  readonly host: string
  readonly hostname: string
  readonly interfaces: Interfaces
}

/** Names and addresses for the server's certificate: itself, what it listens on, and, on a wildcard, every address. */
export function certificateHosts({ host, hostname, interfaces }: Listening): string[] {
  const listening = isWildcard(host) ? addressesOf(interfaces) : [host.toLowerCase()]
  const name = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/i.test(hostname) ? [hostname.toLowerCase()] : []
  return [...new Set([...LOOPBACK, ...name, ...listening])]
}

/** The host of the URL that is told to others: on a wildcard the first address that is not this machine's own. */
export function advertisedHost({ host, interfaces }: Listening): string {
  if (!isWildcard(host)) return host
  const outside = Object.values(interfaces)
    .flatMap(each => each ?? [])
    .filter(each => !each.internal && !each.address.startsWith('fe80:'))
  return outside.find(each => each.family === 'IPv4')?.address ?? outside[0]?.address ?? '127.0.0.1'
}

export function httpsUrl(host: string, port: number): string {
  return `https://${isIPv6(host) ? `[${host}]` : host}:${port}`
}

/** Names of the server that a runner elsewhere must not get a certificate for: loopback is everybody's own. */
export function reservedHosts(hosts: readonly string[], runnerAddress: string): string[] {
  const plain = runnerAddress.replace(/^::ffff:(?=\d+\.)/i, '')
  // A runner on the same machine shares its addresses with the server.
  if (plain === '::1' || plain.startsWith('127.') || hosts.includes(plain)) return []
  return hosts.filter(host => !LOOPBACK.includes(host))
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

function addressesOf(interfaces: Interfaces): string[] {
  return Object.values(interfaces)
    .flatMap(each => each ?? [])
    .map(each => each.address)
    .filter(address => isIP(address) !== 0 && !address.startsWith('fe80:'))
}
