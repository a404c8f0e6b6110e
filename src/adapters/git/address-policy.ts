import { BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { Fault } from '../../lib/fault.ts'

/**
 * Which addresses a clone may reach. Public ones always; those of intranets only when the runner's operator named them;
 * those of the runner's own loopback and of nobody in particular never. A name that resolves to a forbidden address is
 * as forbidden as the address, and what was checked is what the job is pinned to.
 */
export interface AddressPolicy {
  allows(host: string, address: string): Verdict
}

export type Verdict =
  | { readonly allowed: true }
  /** `never` cannot be allowed by any setting. */
  | { readonly allowed: false; readonly why: string; readonly never: boolean }

// From the IANA registries of special-purpose addresses (2025-10).
const NEVER = [
  ['this host', ['0.0.0.0/8', '127.0.0.0/8', '::/128', '::1/128']],
  ['multicast', ['224.0.0.0/4', 'ff00::/8']],
] as const
// Clouds give credentials to whoever asks at these addresses: naming a host does not open them, naming the net does.
const LINK_LOCAL = ['169.254.0.0/16', 'fe80::/10', 'fd00:ec2::254/128', '100.100.100.200/32']
const NOT_PUBLIC = [
  ['private', ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7', 'fec0::/10']],
  ['reserved', ['192.0.0.0/24', '192.0.2.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24']],
  ['reserved', ['240.0.0.0/4', '100::/64', '2001:db8::/32', '3fff::/20']],
] as const
// An IPv6 address in these nets stands for an IPv4 address that it carries: bits before that address.
const CARRIERS = [
  ['::ffff:0:0', 96],
  ['::', 96],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 96],
  ['2002::', 16],
] as const

/** `allow` holds host names and nets (`10.1.0.0/16`, `fd00:1::/32`); faults with `invalid` for anything else. */
export function createAddressPolicy(
  allow: readonly string[],
  ownAddresses: () => readonly string[] = readOwnAddresses,
): AddressPolicy {
  const names = new Set<string>()
  const nets: string[] = []
  for (const entry of allow) {
    if (parseNet(entry) !== undefined) nets.push(entry)
    else if (isIP(entry) !== 0) nets.push(`${entry}/${isIP(entry) === 4 ? 32 : 128}`)
    else if (/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(entry)) names.add(entry.toLowerCase())
    else {
      const hint = 'write host names such as git.example.com, or nets such as 10.1.0.0/16'
      throw new Fault('invalid', 'git-allow-invalid', `'${entry}' is neither a host name nor a net`, { hint })
    }
  }
  const allowedNets = blockListOf(nets)
  const linkLocal = blockListOf(LINK_LOCAL)
  const [never, notPublic] = [NEVER, NOT_PUBLIC].map(table =>
    table.map(([why, nets]) => ({ why, list: blockListOf(nets) })),
  ) as [Named[], Named[]]

  const judge = (host: string, address: string): Verdict => {
    const refuse = (why: string, forGood = false): Verdict => ({ allowed: false, why, never: forGood })
    if (isIP(address) === 0) return refuse('not an address', true)
    for (const { why, list } of never) if (inList(list, address)) return refuse(why, true)
    const carried = carriedAddress(address)
    if (carried !== undefined) return judge(host, carried)
    if (inList(allowedNets, address)) return { allowed: true }
    if (inList(linkLocal, address)) return refuse('link-local or cloud metadata')
    if (names.has(host.toLowerCase())) return { allowed: true }
    for (const { why, list } of notPublic) if (inList(list, address)) return refuse(why)
    if (ownAddresses().includes(address)) return refuse("the runner's own host")
    return { allowed: true }
  }
  return { allows: judge }
}

interface Named {
  readonly why: string
  readonly list: BlockList
}

function readOwnAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap(list => (list ?? []).map(({ address }) => address))
}

function blockListOf(nets: readonly string[]): BlockList {
  const list = new BlockList()
  for (const net of nets) {
    const parsed = parseNet(net)
    if (parsed !== undefined) list.addSubnet(parsed.address, parsed.bits, parsed.family)
  }
  return list
}

function parseNet(text: string): { address: string; bits: number; family: 'ipv4' | 'ipv6' } | undefined {
  const match = /^([0-9A-Fa-f.:]+)\/(\d{1,3})$/.exec(text)
  const address = match?.[1] ?? ''
  const version = isIP(address)
  const bits = Number(match?.[2])
  if (version === 0 || bits > (version === 4 ? 32 : 128)) return undefined
  return { address, bits, family: version === 4 ? 'ipv4' : 'ipv6' }
}

function inList(list: BlockList, address: string): boolean {
  return list.check(address, isIP(address) === 4 ? 'ipv4' : 'ipv6')
}

/** The IPv4 address inside of an IPv6 address that only translates it. */
function carriedAddress(address: string): string | undefined {
  if (isIP(address) !== 6) return undefined
  for (const [net, bits] of CARRIERS) {
    const list = new BlockList()
    list.addSubnet(net, bits, 'ipv6')
    if (!list.check(address, 'ipv6')) continue
    const words = expand(address)
    const at = bits / 16
    const [high, low] = [words[at]!, words[at + 1]!]
    return [high >> 8, high & 255, low >> 8, low & 255].join('.')
  }
  return undefined
}

/** The eight 16-bit words of an IPv6 address. */
function expand(address: string): number[] {
  const plain = address
    .replace(/%.*$/, '')
    .replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a: string, b: string, c: string, d: string) =>
      [Number(a) * 256 + Number(b), Number(c) * 256 + Number(d)].map(word => word.toString(16)).join(':'),
    )
  const [head, tail] = plain.split('::') as [string, string | undefined]
  const words = (part: string | undefined) =>
    (part ?? '') === '' ? [] : part!.split(':').map(word => Number.parseInt(word, 16))
  const [left, right] = [words(head), words(tail)]
  return tail === undefined
    ? left
    : [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right]
}
