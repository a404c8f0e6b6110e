// The network policies of the sandboxes that run: in the kernel, where they hold whatever becomes of this process, and
// here, to decide about names. See policy-rules.ts for the rules and dns-forwarder.ts for the names.
import { isDeepStrictEqual } from 'node:util'
import type { NetworkPolicy, SandboxId } from '../../core/driver.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { mustRun, runProcess } from '../../lib/run-process.ts'
import type { NameGate } from './dns-forwarder.ts'
import type { Answer } from './dns-message.ts'
import { destinations, matchesName, mayResolve } from './egress.ts'
import { KEEP_SECONDS, type Learned, learnRules, policyRules, withoutPolicy } from './policy-rules.ts'
import { interfaceName, slotOf } from './slots.ts'

export interface NetworkPoliciesOptions {
  readonly shortId: string
  readonly table: string
  readonly clock: Clock
}

type List = 'allowed' | 'denied'

interface Subject {
  readonly interfaceName: string
  readonly slot: number
  readonly policy: NetworkPolicy
  /** Addresses that names led to, with the latest name; '' for one whose name a process before this one knew. */
  readonly learned: Readonly<Record<List, Map<string, { readonly name: string; readonly atMs: Millis }>>>
}

// One sandbox's share of what is remembered; more addresses than that are not learned.
const MOST_LEARNED = 16_384
// The kernel forgets after KEEP_SECONDS without a packet; an address that is asked for again is kept for longer.
const LEARN_AGAIN_MS: Millis = (KEEP_SECONDS / 2) * 1000

export class NetworkPolicies implements NameGate {
  readonly #options: NetworkPoliciesOptions
  readonly #subjects = new Map<SandboxId, Subject>()
  readonly #byAddress = new Map<string, SandboxId>()
  /** One change of a sandbox's rules after the other. */
  readonly #turns = new Map<SandboxId, Promise<unknown>>()

  constructor(options: NetworkPoliciesOptions) {
    this.#options = options
  }

  /** The rules of sandboxes that run already, to be loaded together with the table; what names led to is kept. */
  async restore(
    running: readonly { id: SandboxId; slot: number; network: NetworkPolicy }[],
  ): Promise<string> {
    const { table } = this.#options
    if (running.length === 0) return ''
    // There is no table after a reboot, and nothing runs then.
    const { stdout, code } = await runProcess(['nft', '-j', 'list', 'table', ...table.split(' ')] as [
      'nft',
      ...string[],
    ])
    const sets = code === 0 ? parseLearned(stdout) : new Map<string, readonly Learned[]>()
    const now = this.#options.clock.now()
    return running
      .map(({ id, slot, network }) => {
        const subject = this.#subject(slot, network)
        this.#register(id, subject)
        const resolved = {
          allowed: sets.get(`allowed_${slot}`) ?? [],
          denied: sets.get(`denied_${slot}`) ?? [],
        }
        for (const list of ['allowed', 'denied'] as const)
          for (const { address } of resolved[list])
            subject.learned[list].set(address, { name: '', atMs: now })
        return policyRules(table, subject, true, resolved)
      })
      .join('')
  }

  policyOf(id: SandboxId): NetworkPolicy | undefined {
    return this.#subjects.get(id)?.policy
  }

  ids(): SandboxId[] {
    return [...this.#subjects.keys()]
  }

  /** In one step. False: it had that policy already. */
  set(id: SandboxId, slot: number, policy: NetworkPolicy | undefined): Promise<boolean> {
    return this.#inTurn(id, async () => {
      const before = this.#subjects.get(id)
      // It ended while its policy was being changed, and its slot is taken again.
      const other = this.#byAddress.get(slotOf(slot).address)
      if (other !== undefined && other !== id) await this.#remove(other)
      if (isDeepStrictEqual(before?.policy, policy) && (before === undefined || before.slot === slot))
        return false
      if (policy === undefined) {
        await this.#remove(id)
        return true
      }
      const { table, clock } = this.#options
      const subject = this.#subject(slot, policy, before?.slot === slot ? before : undefined)
      const still = (list: List) =>
        [...subject.learned[list]].map(([address, { atMs }]) => ({
          address,
          seconds: Math.max(1, KEEP_SECONDS - Math.floor((clock.now() - atMs) / 1000)),
        }))
      const resolved = { allowed: still('allowed'), denied: still('denied') }
      const load = (isFirst: boolean) =>
        mustRun(['nft', '-f', '-'], { input: policyRules(table, subject, isFirst, resolved) })
      if (before !== undefined) await load(false)
      // Something is left of an earlier sandbox: a process before this one was killed on the way.
      else await load(true).catch(() => load(false))
      this.#register(id, subject)
      return true
    })
  }

  /** Idempotent; before the slot is somebody else's. */
  async remove(id: SandboxId): Promise<void> {
    if (this.#subjects.has(id)) await this.#inTurn(id, () => this.#remove(id))
  }

  /** Every name without a wildcard that some policy is about, to be looked up now and then: `id` alone, or all. */
  names(id?: SandboxId): { readonly address: string; readonly name: string }[] {
    return [...this.#subjects].flatMap(([each, { slot, policy }]) => {
      if (id !== undefined && each !== id) return []
      const { allow = [], deny = [] } = policy.egress ?? {}
      const names = [...allow, ...deny].flatMap(entry => destinations([entry]).names)
      return names
        .filter(name => !name.startsWith('*.'))
        .map(name => ({ address: slotOf(slot).address, name }))
    })
  }

  verdict(source: string, name: string): 'answer' | 'refuse' | 'hide' {
    const policy = this.#at(source)?.policy
    if (mayResolve(policy, name)) return 'answer'
    return matchesName(policy?.egress?.deny ?? [], name) ? 'hide' : 'refuse'
  }

  /** Resolves when the kernel knows what the name leads to. */
  async learn(source: string, name: string, { addresses }: Pick<Answer, 'addresses'>): Promise<void> {
    const id = this.#byAddress.get(source)
    const egress = this.#at(source)?.policy.egress
    if (id === undefined || egress === undefined || addresses.length === 0) return
    const list = listOf(egress, name)
    if (list === undefined) return
    await this.#inTurn(id, async () => {
      const subject = this.#subjects.get(id)
      if (subject?.policy.egress === undefined || listOf(subject.policy.egress, name) !== list) return // Changed.
      const { clock, table } = this.#options
      const known = subject.learned[list]
      const now = clock.now()
      for (const [address, { atMs }] of known) if (now - atMs > KEEP_SECONDS * 1000) known.delete(address)
      const news = [...new Set(addresses)].filter(address => {
        const at = known.get(address)?.atMs
        return at === undefined ? known.size < MOST_LEARNED : now - at > LEARN_AGAIN_MS
      })
      if (news.length === 0) return
      // What is there keeps its old end when it is added once more; so it is taken out within the same step. See
      // policyRules for why this is not done without need.
      const old = news.filter(address => known.has(address))
      const bare = `${table} ${list}_${subject.slot} { ${old.join(', ')} }`
      const taken = old.length === 0 ? '' : `add element ${bare}\ndelete element ${bare}\n`
      const element = {
        allowed: [],
        denied: [],
        [list]: news.map(address => ({ address, seconds: KEEP_SECONDS })),
      }
      await mustRun(['nft', '-f', '-'], { input: `${taken}${learnRules(table, subject.slot, element)}\n` })
      for (const address of news) known.set(address, { name, atMs: now })
    })
  }

  #at(source: string): Subject | undefined {
    const id = this.#byAddress.get(source)
    return id === undefined ? undefined : this.#subjects.get(id)
  }

  #subject(slot: number, policy: NetworkPolicy, before?: Subject): Subject {
    const learned = { allowed: new Map(), denied: new Map() } as Subject['learned']
    const { egress } = policy
    for (const list of ['allowed', 'denied'] as const)
      for (const [address, entry] of before?.learned[list] ?? [])
        if (egress !== undefined && listOf(egress, entry.name) === list) learned[list].set(address, entry)
    return { interfaceName: interfaceName(this.#options.shortId, slot, 'sandbox'), slot, policy, learned }
  }

  #register(id: SandboxId, subject: Subject): void {
    this.#subjects.set(id, subject)
    this.#byAddress.set(slotOf(subject.slot).address, id)
  }

  async #remove(id: SandboxId): Promise<void> {
    const subject = this.#subjects.get(id)
    if (subject === undefined) return
    await mustRun(['nft', '-f', '-'], { input: withoutPolicy(this.#options.table, subject) })
    this.#subjects.delete(id)
    const { address } = slotOf(subject.slot)
    if (this.#byAddress.get(address) === id) this.#byAddress.delete(address)
  }

  async #inTurn<T>(id: SandboxId, body: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(id) ?? Promise.resolve()).then(body, body)
    this.#turns.set(id, turn)
    try {
      return await turn
    } finally {
      if (this.#turns.get(id) === turn) this.#turns.delete(id)
    }
  }
}

function listOf(egress: NonNullable<NetworkPolicy['egress']>, name: string): List | undefined {
  if (matchesName(egress.deny, name)) return 'denied'
  return matchesName(egress.allow, name) ? 'allowed' : undefined
}

/** What the kernel still knows of names, by set, from what `nft -j list table` prints. */
export function parseLearned(json: string): Map<string, readonly Learned[]> {
  interface Element {
    readonly elem?: { readonly val?: unknown; readonly expires?: number }
  }
  const { nftables } = JSON.parse(json) as {
    nftables: { set?: { name: string; elem?: readonly Element[] } }[]
  }
  return new Map(
    nftables.flatMap(({ set }) => {
      if (set === undefined || !/^(allowed|denied)_\d+$/.test(set.name)) return []
      const learned = (set.elem ?? []).flatMap(({ elem }) =>
        typeof elem?.val === 'string' && (elem.expires ?? 0) > 0
          ? [{ address: elem.val, seconds: Math.ceil(elem.expires!) }]
          : [],
      )
      return [[set.name, learned] as const]
    }),
  )
}
