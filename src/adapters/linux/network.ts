// The network of a host's sandboxes: one veth pair each, one static table for all. Default deny: the host itself,
// neighbours, private ranges, link-local and metadata addresses and spoofed sources are out of reach; IPv6 is off;
// everything else goes out translated. Tables and interfaces carry the runner's short id.
import { access, readFile, writeFile } from 'node:fs/promises'
import { isIPv4 } from 'node:net'
import { dirname, join } from 'node:path'
import { Fault } from '../../lib/fault.ts'
import { mustRun, runProcess } from '../../lib/run-process.ts'

// RFC 1918, carrier-grade NAT, loopback, link-local (with every cloud's metadata address), "this" network,
// documentation and benchmarking ranges (ours among them), multicast and reserved.
const BLOCKED = [
  ...[
    '0.0.0.0/8',
    '10.0.0.0/8',
    '100.64.0.0/10',
    '127.0.0.0/8',
    '169.254.0.0/16',
    '172.16.0.0/12',
    '192.0.0.0/24',
  ],
  ...['192.168.0.0/16', '198.18.0.0/15', '224.0.0.0/4', '240.0.0.0/4'],
]

const FORWARD_WAS_OFF = 'ip-forward-was-off'

/** The whole ruleset as a function of runner and resolvers. Loading it replaces the runner's table in one step. */
export function ruleset(shortId: string, resolvers: readonly string[]): string {
  const table = `inet bothy_${shortId}`
  const dns = resolvers.flatMap(address => [`${address} . udp . 53`, `${address} . tcp . 53`])
  return `table ${table}
delete table ${table}
table ${table} {
  set blocked { type ipv4_addr; flags interval; elements = { ${BLOCKED.join(', ')} } }
  set resolvers { type ipv4_addr . inet_proto . inet_service; ${dns.length === 0 ? '' : `elements = { ${dns.join(', ')} }`} }
  set reach { type ifname . ipv4_addr . inet_proto . inet_service; }
  chain from_sandbox {
    fib saddr . iif oif missing drop
    ct state established,related accept
    oifname { "bty*", "btj*" } drop
    meta nfproto ipv6 drop
    ip daddr . meta l4proto . th dport @resolvers accept
    ip daddr @blocked drop
    fib daddr type local drop
  }
  chain from_job {
    fib saddr . iif oif missing drop
    ct state established,related accept
    iifname . ip daddr . meta l4proto . th dport @reach accept
    drop
  }
  chain forward {
    type filter hook forward priority -5; policy accept;
    iifname "bty${shortId}*" jump from_sandbox
    iifname "btj${shortId}*" jump from_job
    oifname { "bty${shortId}*", "btj${shortId}*" } ct state established,related accept
    oifname { "bty${shortId}*", "btj${shortId}*" } drop
  }
  chain input {
    type filter hook input priority -5; policy accept;
    iifname { "bty${shortId}*", "btj${shortId}*" } ct state established,related accept
    iifname "bty${shortId}*" ip daddr . meta l4proto . th dport @resolvers accept
    iifname "btj${shortId}*" jump from_job
    iifname { "bty${shortId}*", "btj${shortId}*" } drop
  }
  chain nat {
    type nat hook postrouting priority srcnat; policy accept;
    iifname { "bty${shortId}*", "btj${shortId}*" } oifname != { "bty*", "btj*" } masquerade
  }
}
`
}

/** Loads the table and lets the host forward packets. Idempotent; sandboxes that run keep their connections. */
export async function prepareNetwork(
  shortId: string,
  resolvers: readonly string[],
  runtimeDir: string,
): Promise<void> {
  await mustRun(['nft', '-f', '-'], { input: ruleset(shortId, resolvers) })
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

/**
 * The host's resolvers, IPv4 only, from the text of resolv.conf. A resolver on loopback is the host's own and cannot be
 * reached from a sandbox; systemd-resolved keeps the real ones elsewhere, which the caller tries next.
 */
export function parseResolvers(text: string): string[] {
  return text
    .split('\n')
    .map(line => /^\s*nameserver\s+(\S+)/.exec(line)?.[1])
    .filter(address => address !== undefined && isIPv4(address) && !address.startsWith('127.'))
    .map(String)
}

export async function hostResolvers(): Promise<string[]> {
  for (const file of ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']) {
    const found = parseResolvers(await readFile(file, 'utf8').catch(() => '')) // Absent: the next one.
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
