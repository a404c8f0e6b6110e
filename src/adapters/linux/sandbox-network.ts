// All of a runner's network on this host: the table, the policies of the sandboxes that run, and who answers their
// questions for names.
import { readdir, readFile, rename, writeFile } from 'node:fs/promises'
import type { NetworkPolicy, SandboxId } from '../../core/driver.ts'
import type { Clock, Millis } from '../../lib/clock.ts'
import { isUuid } from '../../lib/ids.ts'
import type { Log } from '../../lib/log.ts'
import { DnsForwarder, type Upstream } from './dns-forwarder.ts'
import { checkPermitted, notPermitted } from './egress.ts'
import { type Layout, runtimePaths } from './layout.ts'
import { hostResolvers, prepareNetwork, reachableResolvers, resolverAddress, tableOf } from './network.ts'
import { NetworkPolicies } from './network-policies.ts'
import type { SandboxState } from './sandbox.ts'

export interface SandboxNetworkOptions {
  readonly layout: Layout
  /** Private networks that policies may open. */
  readonly permitted: readonly string[]
  /** Who is asked for names. Default: whom the host asks. */
  readonly upstreams?: readonly Upstream[] | undefined
  readonly clock: Clock
  readonly log: Log
}

// Names in policies are looked up so often, so that their addresses are known before a sandbox asks.
const REFRESH_MS: Millis = 60_000
// resolv.conf changes when a laptop changes networks.
const UPSTREAMS_MS: Millis = 5_000
// The C library looks at the first three nameservers.
const MOST_NAMESERVERS = 3

export class SandboxNetwork {
  readonly #options: SandboxNetworkOptions
  readonly #policies: NetworkPolicies
  readonly #forwarder: DnsForwarder
  readonly #closed = new AbortController()
  #resolvers: readonly string[] = []
  #upstreams: { readonly list: readonly Upstream[]; readonly untilMs: Millis } = { list: [], untilMs: 0 }

  constructor(options: SandboxNetworkOptions) {
    this.#options = options
    const { layout, clock, log } = options
    const { shortId } = layout
    this.#policies = new NetworkPolicies({ shortId, table: tableOf(shortId), clock })
    this.#forwarder = new DnsForwarder({
      address: resolverAddress(shortId),
      port: 53,
      upstreams: () => this.#findUpstreams(),
      gate: this.#policies,
      clock,
      log,
    })
  }

  /** Faults with `invalid` when the operator permits what nobody may. */
  async open(): Promise<void> {
    const { layout, permitted } = this.#options
    checkPermitted(permitted)
    this.#resolvers = await reachableResolvers()
    const states = await this.#states()
    const running = [...states].flatMap(([id, { slot, network }]) =>
      network === undefined ? [] : [{ id, slot, network }],
    )
    const policies = await this.#policies.restore(running)
    await prepareNetwork(layout.shortId, { resolvers: this.#resolvers, permitted }, policies, layout.runtime)
    await this.#forwarder.open()
    void this.#refreshNowAndThen()
  }

  /** What sandboxes read in resolv.conf: us, and for when this process is away, whom the host asks. */
  get nameservers(): readonly string[] {
    return [resolverAddress(this.#options.layout.shortId), ...this.#resolvers].slice(0, MOST_NAMESERVERS)
  }

  /** Before the sandbox has a link to the network. */
  async admit(id: SandboxId, slot: number, policy: NetworkPolicy | undefined): Promise<void> {
    if ((await this.#policies.set(id, slot, policy)) && policy !== undefined) void this.#refresh(id)
  }

  /** See `Driver.setNetwork`. */
  async set(id: SandboxId, policy: NetworkPolicy | undefined): Promise<readonly string[]> {
    const closed = notPermitted(policy, this.#options.permitted)
    if (policy === undefined && this.#policies.policyOf(id) === undefined) return closed
    const { state: file } = runtimePaths(this.#options.layout, id)
    const state = await readState(file)
    if (state === undefined || !(await this.#policies.set(id, state.slot, policy))) return closed
    void this.#refresh(id)
    const { network: _, ...rest } = state
    const next: SandboxState = policy === undefined ? rest : { ...rest, network: policy }
    try {
      await writeFile(`${file}.new`, JSON.stringify(next), { mode: 0o600 })
      await rename(`${file}.new`, file)
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
      await this.forget(id) // It ended meanwhile.
    }
    return closed
  }

  /** Before its slot is somebody else's. Idempotent. */
  forget(id: SandboxId): Promise<void> {
    return this.#policies.remove(id)
  }

  /** Forgets those of whom nothing is left. */
  async forgetGone(): Promise<void> {
    const states = await this.#states()
    for (const id of this.#policies.ids()) if (!states.has(id)) await this.#policies.remove(id)
  }

  close(): void {
    this.#closed.abort()
    this.#forwarder.close()
  }

  async #states(): Promise<ReadonlyMap<SandboxId, SandboxState>> {
    const { layout } = this.#options
    const names = (await readdir(layout.runtime)).filter(isUuid)
    const states = await Promise.all(
      names.map(async id => [id, await readState(runtimePaths(layout, id).state)] as const),
    )
    return new Map(states.flatMap(([id, state]) => (state === undefined ? [] : [[id, state]])))
  }

  async #findUpstreams(): Promise<readonly Upstream[]> {
    const { upstreams, clock } = this.#options
    if (upstreams !== undefined) return upstreams
    if (this.#upstreams.untilMs <= clock.now()) {
      const list = (await hostResolvers()).map(address => ({ address, port: 53 }))
      this.#upstreams = { list, untilMs: clock.now() + UPSTREAMS_MS }
    }
    return this.#upstreams.list
  }

  async #refreshNowAndThen(): Promise<void> {
    const { signal } = this.#closed
    while (!signal.aborted) {
      await this.#refresh()
      await this.#options.clock.sleep(REFRESH_MS, signal).catch(() => undefined) // Closed: the loop sees it.
    }
  }

  async #refresh(id?: SandboxId): Promise<void> {
    const byName = Map.groupBy(this.#policies.names(id), ({ name }) => name)
    for (const [name, askers] of byName) {
      if (this.#closed.signal.aborted) return
      try {
        const answer = await this.#forwarder.resolve(name)
        if (answer === undefined) continue
        for (const { address } of askers) await this.#policies.learn(address, name, answer)
      } catch (err) {
        this.#options.log.warn({ err, name }, 'name of a policy not looked up')
      }
    }
  }
}

/** Undefined: there is none (any more), or it is just being written. */
async function readState(file: string): Promise<SandboxState | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as SandboxState
  } catch {
    return undefined
  }
}
