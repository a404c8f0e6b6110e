// The network of a host's sandboxes: one veth pair each, one static table for all. Default deny: the host itself,
// neighbours, private ranges, link-local and metadata addresses and spoofed sources are out of reach; IPv6 is off;
// everything else goes out translated, unless a policy
// (policy-rules.ts) says otherwise. Tables and interfaces carry the runner's short id.
import { createHash } from 'node:crypto'
import { access, readFile, writeFile } from 'node:fs/promises'
import { isIP, isIPv4 } from 'node:net'
import { dirname, join } from 'node:path'
import { Fault } from '../../lib/fault.ts'
import { mustRun, runProcess } from '../../lib/run-process.ts'
import { BLOCKED } from './egress.ts'

const FORWARD_WAS_OFF = 'ip-forward-was-off'

export interface NetworkFacts {
  /** IPv4 resolvers that sandboxes may ask directly. */
  readonly resolvers: readonly string[]
  /** Private networks that policies may open. */
  readonly permitted: readonly string[]
}

// In 198.18.0.0/15 as the links of slots are, beyond the last of them.
const FIRST_RESOLVER = (198 << 24) | (19 << 16)

/** Where this runner answers questions for names: an address of its own on the host's loopback interface. */
export function resolverAddress(shortId: string): string {
  const number = createHash('sha256').update(shortId).digest().readUInt32BE() % 65_534
  const address = FIRST_RESOLVER + 1 + number
  return [24, 16, 8, 0].map(shift => (address >>> shift) & 255).join('.')
}

export const tableOf = (shortId: string): string => `inet bothy_${shortId}`

// A host has 65,536 to 262,144 entries for connections; one sandbox that takes all would cut off everybody.
const MOST_CONNECTIONS = 16_384
// Far more than a browser or a package manager asks for; enough to keep one that floods us from costing much.
const QUESTIONS = 'limit rate over 200/second burst 500 packets'

/** The whole ruleset. Loading it replaces the runner's table in one step, with `policies` appended. */
export function ruleset(shortId: string, { resolvers, permitted }: NetworkFacts): string {
  const table = tableOf(shortId)
  const dns = resolvers.flatMap(address => [`${address} . udp . 53`, `${address} . tcp . 53`])
  const elements = (list: readonly string[]) => (list.length === 0 ? '' : `elements = { ${list.join(', ')} }`)
  const own = resolverAddress(shortId)
  return `table ${table}
delete table ${table}
table ${table} {
  set blocked { type ipv4_addr; flags interval; ${elements(BLOCKED)} }
  set permitted { type ipv4_addr; flags interval; auto-merge; ${elements(permitted)} }
  set resolvers { type ipv4_addr . inet_proto . inet_service; ${elements(dns)} }
  set reach { type ifname . ipv4_addr . inet_proto . inet_service; }
  set connections { type ipv4_addr; size 65536; flags dynamic; }
  set asking { type ipv4_addr; size 65536; flags dynamic, timeout; timeout 1m; }
  map policies { type ifname : verdict; }
  map arrivals { type ifname : verdict; }
  map questions { type ifname : verdict; }
  chain to_resolver {
    iifname vmap @questions
    accept
  }
  chain from_sandbox {
    fib saddr . iif oif missing drop
    meta nfproto ipv6 drop
    oifname { "bty*", "btj*" } drop
    ct state new add @connections { ip saddr ct count over ${MOST_CONNECTIONS} } drop
    ip daddr . meta l4proto . th dport @resolvers goto to_resolver
    fib daddr type local drop
    iifname vmap @policies
    ct state established,related accept
    ip daddr @blocked drop
  }
  chain from_job {
    fib saddr . iif oif missing drop
    ct state established,related accept
    iifname . ip daddr . meta l4proto . th dport @reach accept
    drop
  }
  chain sandbox_to_host {
    fib saddr . iif oif missing drop
    meta nfproto ipv6 drop
    ct state new add @connections { ip saddr ct count over ${MOST_CONNECTIONS} } drop
    ip daddr ${own} meta l4proto { tcp, udp } th dport 53 goto to_us
    ct state established,related accept
    ip daddr . meta l4proto . th dport @resolvers goto to_resolver
    drop
  }
  chain to_us {
    meta l4proto udp update @asking { ip saddr ${QUESTIONS} } drop
    accept
  }
  chain forward {
    type filter hook forward priority -5; policy accept;
    iifname "bty${shortId}*" jump from_sandbox
    iifname "btj${shortId}*" jump from_job
    oifname vmap @arrivals
    oifname { "bty${shortId}*", "btj${shortId}*" } ct state established,related accept
    oifname { "bty${shortId}*", "btj${shortId}*" } drop
  }
  chain input {
    type filter hook input priority -5; policy accept;
    iifname "bty${shortId}*" jump sandbox_to_host
    iifname "btj${shortId}*" ct state established,related accept
    iifname "btj${shortId}*" jump from_job
    iifname { "bty${shortId}*", "btj${shortId}*" } drop
    ip daddr ${own} iifname != "lo" drop
  }
  chain nat {
    type nat hook postrouting priority srcnat; policy accept;
    iifname { "bty${shortId}*", "btj${shortId}*" } oifname != { "bty*", "btj*" } masquerade
  }
}
`
}

/**
 * Loads the table, with rules for the policies of the sandboxes that run, and lets the host forward packets. Idempotent;
 * sandboxes keep their connections.
 */
export async function prepareNetwork(
  shortId: string,
  facts: NetworkFacts,
  policies: string,
  runtimeDir: string,
): Promise<void> {
  await mustRun(['nft', '-f', '-'], { input: ruleset(shortId, facts) + policies })
  await mustRun(['ip', 'address', 'replace', `${resolverAddress(shortId)}/32`, 'dev', 'lo'])
  const file = '/proc/sys/net/ipv4/ip_forward'
  if ((await readFile(file, 'utf8')).trim() === '0') {
    // Remembered, so that `down --all` gives the host back as it was.
    await writeFile(join(runtimeDir, FORWARD_WAS_OFF), '')
    await writeFile(file, '1')
  }
  await admitToDocker(shortId)
}

/**
 * Gives the host's network back as it was. While other runners share it they need forwarding, too: then one of them
 * inherits the duty to switch it off.
 */
export async function removeNetwork(shortId: string, runtimeDir: string): Promise<void> {
  await runProcess(['nft', 'delete', 'table', 'inet', `bothy_${shortId}`])
  await runProcess(['ip', 'address', 'del', `${resolverAddress(shortId)}/32`, 'dev', 'lo'])
  const chain = await runProcess(['nft', '-a', 'list', 'chain', 'ip', 'filter', 'DOCKER-USER'])
  for (const handle of parseOwnRules(chain.stdout, shortId))
    await mustRun(['nft', 'delete', 'rule', 'ip', 'filter', 'DOCKER-USER', 'handle', handle])
  if (!(await exists(join(runtimeDir, FORWARD_WAS_OFF)))) return
  // Tables belong to a network namespace, as forwarding does.
  const tables = parseTables((await runProcess(['nft', 'list', 'tables', 'inet'])).stdout)
  for (const other of tables) {
    const dir = join(dirname(runtimeDir), other)
    if (await exists(dir)) return writeFile(join(dir, FORWARD_WAS_OFF), '')
  }
  await writeFile('/proc/sys/net/ipv4/ip_forward', '0')
}

/** Short ids of the runners that have a table here, from what nft lists. */
export function parseTables(text: string): string[] {
  return [...text.matchAll(/^table inet bothy_([a-z0-9]{6})$/gm)].map(([, shortId]) => shortId!)
}

/** Handles of the rules for a runner's interfaces, from what `nft -a` lists. */
export function parseOwnRules(text: string, shortId: string): string[] {
  const rule = new RegExp(`[io]ifname "bt[yj]${shortId}\\*" .*# handle (\\d+)$`, 'gm')
  return [...text.matchAll(rule)].map(([, handle]) => handle!)
}

/** Lets one job's interface reach one address; gone with `closeReach`. */
export async function openReach(shortId: string, elements: readonly string[]): Promise<void> {
  if (elements.length > 0) await reachCommand('add', shortId, elements)
}

export async function closeReach(shortId: string, elements: readonly string[]): Promise<void> {
  if (elements.length > 0) await reachCommand('delete', shortId, elements)
}

export function reachElement(interfaceName: string, address: string, port: number): string {
  if (isIPv4(address)) return `"${interfaceName}" . ${address} . tcp . ${port}`
  const hint = 'environments have no IPv6 yet; give the repository host an IPv4 address'
  throw new Fault('unavailable', 'address-not-ipv4', `reach ${address}: only IPv4 is routed`, { hint })
}

async function reachCommand(
  verb: 'add' | 'delete',
  shortId: string,
  elements: readonly string[],
): Promise<void> {
  await mustRun(['nft', '-f', '-'], {
    input: `${verb} element inet bothy_${shortId} reach { ${elements.join(', ')} }\n`,
  })
}

// dockerd sets the policy of its FORWARD chain to drop; an accept in our table does not override a drop in its. Docker
// leaves the chain DOCKER-USER to others for this.
async function admitToDocker(shortId: string): Promise<void> {
  const chain = await runProcess(['nft', '-a', 'list', 'chain', 'ip', 'filter', 'DOCKER-USER'])
  if (chain.code !== 0) return
  for (const [direction, prefix] of [
    ['iifname', 'bty'],
    ['oifname', 'bty'],
    ['iifname', 'btj'],
    ['oifname', 'btj'],
  ] as const) {
    const name = `"${prefix}${shortId}*"`
    if (chain.stdout.includes(`${direction} ${name}`)) continue
    await mustRun(['nft', 'insert', 'rule', 'ip', 'filter', 'DOCKER-USER', direction, name, 'accept'])
  }
}

/** The nameservers of a resolv.conf, in its order. */
export function parseResolvers(text: string): string[] {
  return text
    .split('\n')
    .map(line => /^\s*nameserver\s+([0-9a-fA-F:.]+)/.exec(line)?.[1] ?? '')
    .filter(address => isIP(address) > 0)
}

/** Who the host itself asks, its own loopback included. */
export async function hostResolvers(): Promise<string[]> {
  return parseResolvers(await readFile('/etc/resolv.conf', 'utf8').catch(() => '')) // Absent: nobody.
}

/**
 * The host's resolvers that sandboxes can ask directly. One on loopback is the host's own; systemd-resolved keeps the
 * real ones elsewhere.
 */
export async function reachableResolvers(): Promise<string[]> {
  const elsewhere = await readFile('/run/systemd/resolve/resolv.conf', 'utf8').catch(() => '') // Absent: as above.
  for (const list of [await hostResolvers(), parseResolvers(elsewhere)]) {
    const found = list.filter(address => isIPv4(address) && !address.startsWith('127.'))
    if (found.length > 0) return found
  }
  return []
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false, // Root sees everything that is there.
  )
}
