import { Fault } from '../../lib/fault.ts'
import type { AddressPolicy } from './address-policy.ts'

/**
 * The one address that a clone from `host` will be pinned to. IPv4 first: environments have it everywhere. Faults with
 * `forbidden`, code `git-host-forbidden`, when the policy allows none.
 */
export function chooseAddress(host: string, addresses: readonly string[], policy: AddressPolicy): string {
  const sorted = [...addresses].sort((one, other) => Number(one.includes(':')) - Number(other.includes(':')))
  const judged = sorted.map(address => ({ address, verdict: policy.allows(host, address) }))
  const chosen = judged.find(({ verdict }) => verdict.allowed)
  if (chosen !== undefined) return chosen.address
  const refused = judged.flatMap(({ address, verdict }) => (verdict.allowed ? [] : [{ address, ...verdict }]))
  const reasons = refused.map(({ address, why }) => `${address} (${why})`).join(', ')
  const hint = refused.some(({ never }) => !never)
    ? "the runner's operator can allow it: list the host or its net in the runner's git.allow"
    : 'use a host that other machines reach as well; a local folder is sent by `bothy env create FOLDER`'
  throw new Fault('forbidden', 'git-host-forbidden', `reach ${host}: not allowed at ${reasons}`, { hint })
}
