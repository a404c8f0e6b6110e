import type { EnvironmentClassSpec } from '../../api/kinds/environment-class.ts'
import { parseRate } from '../../api/network-policy.ts'
import type { NetworkPolicy } from '../../core/driver.ts'

/** What a class says of the network, as drivers take it; undefined: nothing. */
export function networkPolicy({ network }: Pick<EnvironmentClassSpec, 'network'>): NetworkPolicy | undefined {
  const { egress, bandwidth = {}, newConnectionsPerSecond, connections } = network ?? {}
  // What says the same as saying nothing costs as little.
  const isOpen = egress?.default === 'Allow' && egress.allow.length === 0 && egress.deny.length === 0
  const policy: NetworkPolicy = {
    ...(egress === undefined || isOpen
      ? {}
      : { egress: { otherwise: egress.default, allow: egress.allow, deny: egress.deny } }),
    ...(bandwidth.egress === undefined ? {} : { egressBitsPerSecond: parseRate(bandwidth.egress) }),
    ...(bandwidth.ingress === undefined ? {} : { ingressBitsPerSecond: parseRate(bandwidth.ingress) }),
    ...(newConnectionsPerSecond === undefined ? {} : { newConnectionsPerSecond }),
    ...(connections === undefined ? {} : { connections }),
  }
  return Object.keys(policy).length === 0 ? undefined : policy
}
