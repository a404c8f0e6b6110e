// What a network policy means, decided from data alone: which networks and names, and what the operator does not permit.
import { contains, type Network, overlaps, parseNetwork } from '../../api/network-policy.ts'
import type { NetworkPolicy } from '../../core/driver.ts'
import { Fault } from '../../lib/fault.ts'

// RFC 1918, carrier-grade NAT, loopback, link-local (with every cloud's metadata address), "this" network,
// documentation and benchmarking ranges (ours among them), multicast and reserved.
export const BLOCKED: readonly string[] = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.0.0.0/24', '192.168.0.0/16', '198.18.0.0/15', '224.0.0.0/4', '240.0.0.0/4'],
]

// What nobody may open: loopback, metadata, other environments, multicast.
const NEVER = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '198.18.0.0/15', '224.0.0.0/4', '240.0.0.0/4']

/** Faults with `invalid` on anything but IPv4 networks that may be opened at all. */
export function checkPermitted(permitted: readonly string[]): void {
  for (const text of permitted) {
    const network = parseNetwork(text)
    const refuse = (why: string) =>
      new Fault('invalid', 'network-allow-invalid', `permit environments to reach '${text}': ${why}`, {
        hint: 'correct network.allow in runner.yaml: private IPv4 networks such as 10.20.0.0/16',
      })
    if (network === undefined) throw refuse('it is no IPv4 network')
    const never = NEVER.find(each => overlaps(parseNetwork(each)!, network))
    if (never !== undefined) throw refuse(`nobody may, ${never} is loopback, metadata or other environments`)
  }
}

export interface Destinations {
  readonly networks: readonly string[]
  readonly names: readonly string[]
}

export function destinations(list: readonly string[]): Destinations {
  const networks = list.filter(each => parseNetwork(each) !== undefined)
  return { networks, names: list.filter(each => !networks.includes(each)) }
}

/** Networks that the policy wants and that this host's operator keeps closed, in words. */
export function notPermitted(
  policy: NetworkPolicy | undefined,
  permitted: readonly string[],
): readonly string[] {
  const networks = destinations(policy?.egress?.allow ?? []).networks
  const known = permitted.map(each => parseNetwork(each)!)
  return networks.filter(text => {
    const network = parseNetwork(text)!
    const isPrivate = BLOCKED.some(each => overlaps(parseNetwork(each)!, network))
    // All of the internet holds private networks too, and nobody means them.
    return isPrivate && network.bits > 0 && !known.some((each: Network) => contains(each, network))
  })
}

/** Is `name` one of `patterns`? `*.example.com` is everything below example.com, and not itself. */
export function matchesName(patterns: readonly string[], name: string): boolean {
  return patterns.some(each => (each.startsWith('*.') ? name.endsWith(each.slice(1)) : each === name))
}

/** Does the sandbox resolve names through us only? Where names decide, we must see every answer. */
export function isNamed(policy: NetworkPolicy | undefined): boolean {
  const { egress } = policy ?? {}
  if (egress === undefined) return false
  return (
    egress.otherwise === 'Deny' ||
    [egress.allow, egress.deny].some(each => destinations(each).names.length > 0)
  )
}

/** May it know where `name` is? Where all is denied that is not allowed, questions too could carry something out. */
export function mayResolve(policy: NetworkPolicy | undefined, name: string): boolean {
  const { egress } = policy ?? {}
  if (egress === undefined) return true
  if (matchesName(egress.deny, name)) return false
  return egress.otherwise === 'Allow' || matchesName(egress.allow, name)
}
