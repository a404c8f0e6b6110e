// Network policies as nft commands: pure. Each environment that has a policy has chains and sets named after its slot,
// and its interface leads to them in two maps; those that have none cost a look into an empty map.
import type { NetworkPolicy } from '../../core/driver.ts'
import { destinations, isNamed } from './egress.ts'

/** Of one environment with a policy. */
export interface PolicySubject {
  /** Name of the host's end of its link. */
  readonly interfaceName: string
  readonly slot: number
  readonly policy: NetworkPolicy
}

/** An address learned from an answer, for so long. */
export interface Learned {
  readonly address: string
  readonly seconds: number
}

// Names keep what was reached under them for so long after the last packet: answers change, and connections stay.
export const KEEP_SECONDS = 3600
// On top of a second's worth, which the kernel lets pass at once (nft_limit.c): two packets of the largest size that a
// link between sandbox and host carries, which are cut up later. Slow links need it.
export const BURST_BYTES = 128 * 1024

const PLAIN = '{ type ipv4_addr; flags interval; auto-merge; }'
const LEARNED = `{ type ipv4_addr; size 65536; flags dynamic, timeout; timeout ${KEEP_SECONDS}s; }`
/** Networks as they are written, and addresses that names led to. */
const SETS = [
  ['deny', PLAIN],
  ['allow', PLAIN],
  ['denied', LEARNED],
  ['allowed', LEARNED],
] as const
/** What it sends, what is sent to it, and what it asks the host's resolvers directly. */
const CHAINS = ['out', 'in', 'ask'] as const

const elementsOf = (interfaceName: string, slot: number) =>
  [
    ['policies', `"${interfaceName}"`, `jump out_${slot}`],
    ['arrivals', `"${interfaceName}"`, `jump in_${slot}`],
    ['questions', `"${interfaceName}"`, `jump ask_${slot}`],
  ] as const

/**
 * One transaction that gives the environment this policy and no other. `isFirst`: it has none, and the transaction is
 * refused if it has. Whatever is taken away costs a wait for everybody who may still look at it, 10 to 20 ms; what is only
 * added costs 4 (Linux 6.18, two cores, November 2026).
 */
export function policyRules(
  table: string,
  { interfaceName, slot, policy }: PolicySubject,
  isFirst: boolean,
  resolved: { readonly denied: readonly Learned[]; readonly allowed: readonly Learned[] } = {
    denied: [],
    allowed: [],
  },
): string {
  const { egress } = policy
  const networks = {
    deny: destinations(egress?.deny ?? []).networks,
    allow: destinations(egress?.allow ?? []).networks,
  }
  const made = (what: string, form = '') =>
    isFirst ? [`create ${what} ${form}`] : [`add ${what} ${form}`, `flush ${what}`]
  const lines = [
    ...CHAINS.flatMap(each => made(`chain ${table} ${each}_${slot}`)),
    ...SETS.flatMap(([each, form]) => made(`set ${table} ${each}_${slot}`, form)),
    ...(['deny', 'allow'] as const).flatMap(each =>
      networks[each].length === 0
        ? []
        : [`add element ${table} ${each}_${slot} { ${networks[each].join(', ')} }`],
    ),
    learnRules(table, slot, resolved),
    ...outRules(policy, slot).map(rule => `add rule ${table} out_${slot} ${rule}`),
    ...limit(policy.ingressBitsPerSecond).map(rule => `add rule ${table} in_${slot} ${rule}`),
    // Who resolves through us only is told at once that nobody else listens.
    ...(isNamed(policy) ? [`add rule ${table} ask_${slot} reject`] : []),
    ...elementsOf(interfaceName, slot).map(
      ([map, element, jump]) => `add element ${table} ${map} { ${element} : ${jump} }`,
    ),
  ]
  return `${lines.filter(line => line !== '').join('\n')}\n`
}

/** One transaction that makes the environment one without a policy, whether it has one or not. */
export function withoutPolicy(table: string, { interfaceName, slot }: Omit<PolicySubject, 'policy'>): string {
  const elements = elementsOf(interfaceName, slot)
  // What is there already may be added once more; what is not there cannot be deleted.
  const lines = [
    ...CHAINS.map(each => `add chain ${table} ${each}_${slot}`),
    ...SETS.map(([each, form]) => `add set ${table} ${each}_${slot} ${form}`),
    ...elements.map(([map, element, jump]) => `add element ${table} ${map} { ${element} : ${jump} }`),
    ...elements.map(([map, element]) => `delete element ${table} ${map} { ${element} }`),
    ...CHAINS.flatMap(each => [
      `flush chain ${table} ${each}_${slot}`,
      `delete chain ${table} ${each}_${slot}`,
    ]),
    ...SETS.map(([each]) => `delete set ${table} ${each}_${slot}`),
  ]
  return `${lines.join('\n')}\n`
}

/** Adds what names resolve to; '' when that is nothing. */
export function learnRules(
  table: string,
  slot: number,
  resolved: { readonly denied: readonly Learned[]; readonly allowed: readonly Learned[] },
): string {
  const elements = (list: readonly Learned[]) =>
    list.map(({ address, seconds }) => `${address} timeout ${seconds}s`).join(', ')
  return (['denied', 'allowed'] as const)
    .filter(each => resolved[each].length > 0)
    .map(each => `add element ${table} ${each}_${slot} { ${elements(resolved[each])} }`)
    .join('\n')
}

// What is denied is denied to connections that stand, too: the lists are asked for every packet, not for the first.
function outRules({ egress, ...policy }: NetworkPolicy, slot: number): string[] {
  const rate = policy.newConnectionsPerSecond
  return [
    ...limit(policy.egressBitsPerSecond),
    ...(rate === undefined ? [] : [`ct state new limit rate over ${rate}/second burst ${rate} packets drop`]),
    ...(policy.connections === undefined ? [] : [`ct state new ct count over ${policy.connections} drop`]),
    ...(egress === undefined
      ? []
      : [
          `ip daddr @deny_${slot} reject with icmp type admin-prohibited`,
          `ip daddr @denied_${slot} reject with icmp type admin-prohibited`,
          'ip daddr @blocked ip daddr != @permitted drop',
          `ip daddr @allow_${slot} accept`,
          `ip daddr @allowed_${slot} update @allowed_${slot} { ip daddr timeout ${KEEP_SECONDS}s } accept`,
          'ip daddr @blocked drop',
          egress.otherwise === 'Allow' ? 'accept' : 'reject with icmp type admin-prohibited',
        ]),
  ]
}

// What is too much is dropped, not queued: a queue is of one interface and direction, and would be made and changed
// apart from the rules. Senders find the rate all the same; see the test beside this.
function limit(bitsPerSecond: number | undefined): string[] {
  if (bitsPerSecond === undefined) return []
  return [`limit rate over ${Math.round(bitsPerSecond / 8)} bytes/second burst ${BURST_BYTES} bytes drop`]
}
