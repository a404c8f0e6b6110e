// What of this host's kernel, and of its settings, decides how much of a machine an environment is. Nothing here is
// required: each says what does not work, or not as well, without it.
import { readFile } from 'node:fs/promises'
import type { HealthCheck } from '../../core/driver.ts'
import { parseCgroupMounts } from './cgroups.ts'
import { lowLimits, SHARED_LIMITS } from './shared-limits.ts'

export interface Nesting {
  readonly name: string
  /** A file that says whether the kernel has it, and what it then says. */
  readonly file: string
  readonly says: RegExp
  readonly hint: string
}

/** What container engines and tunnels inside ask of the kernel. */
export const NESTING: readonly Nesting[] = [
  {
    name: 'FUSE',
    file: '/proc/misc',
    says: /\bfuse$/m,
    hint: 'modprobe fuse; without it no sshfs or squashfuse inside, and rootless podman copies layers',
  },
  {
    name: 'tun',
    file: '/proc/misc',
    says: /\btun$/m,
    hint: 'modprobe tun; without it no VPN inside, and rootless podman has no network',
  },
  {
    name: 'bridges filter',
    file: '/proc/sys/net/bridge/bridge-nf-call-iptables',
    says: /\d/,
    hint: 'modprobe br_netfilter; without it Docker inside works with a warning, and Kubernetes does not',
  },
  {
    name: 'user namespaces for everybody',
    file: '/proc/sys/kernel/unprivileged_userns_clone',
    says: /1/,
    hint: 'sysctl kernel.unprivileged_userns_clone=1; until then rootless podman and the sandboxes of browsers fail inside',
  },
  {
    name: 'AppArmor leaves user namespaces alone',
    file: '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
    says: /0/,
    hint: 'sysctl kernel.apparmor_restrict_unprivileged_userns=0; until then rootless podman and the sandboxes of browsers fail inside',
  },
]

// Of distributions: where they are missing nothing is restricted.
const FINE_IF_MISSING = /unprivileged/

export async function checkNesting({ name, file, says, hint }: Nesting): Promise<HealthCheck> {
  const text = await readFile(file, 'utf8').catch(() => undefined) // Not built in, or not loaded.
  const ok = text === undefined ? FINE_IF_MISSING.test(file) : says.test(text)
  const check = { name, ok, required: false, found: ok ? 'yes' : 'no' }
  return ok ? check : { ...check, hint }
}

export async function checkCgroups(): Promise<HealthCheck> {
  return judgeCgroups(await readFile('/proc/self/mountinfo', 'utf8'))
}

/** Pure part of `checkCgroups`. */
export function judgeCgroups(mountinfo: string): HealthCheck {
  const { mode } = parseCgroupMounts(mountinfo)
  const check = { name: 'control groups', ok: true, required: false }
  if (mode !== 'v2') {
    const found = mode === 'v1' ? 'version 1' : 'version 1, and 2 beside it'
    return { ...check, found: `${found}: the runner watches how many are made inside` }
  }
  const options =
    mountinfo
      .split('\n')
      .find(line => line.includes(' - cgroup2 '))
      ?.split(' - ')[1] ?? ''
  if (options.includes('nsdelegate')) return { ...check, found: 'version 2' }
  const hint =
    'mount -o remount,nsdelegate /sys/fs/cgroup; the limits of environments hold without it, by owner alone'
  return { ...check, ok: false, found: 'version 2 without nsdelegate', hint }
}

export async function checkSharedLimits(): Promise<HealthCheck> {
  const low = [...(await lowLimits())]
  const check = { name: 'shared limits', ok: low.length === 0, required: false }
  if (low.length === 0) return { ...check, found: 'high enough' }
  const named = (name: string) => name.replaceAll('/', '.')
  const settings = low.map(([name]) => `${named(name)}=${SHARED_LIMITS[name]}`)
  return {
    ...check,
    found: low.map(([name, value]) => `${named(name)} is ${value}`).join(', '),
    hint: `sysctl ${settings.join(' ')}; a runner does that if it may. Until then one environment can use up what all share`,
  }
}

export async function checkCoreDumps(): Promise<HealthCheck> {
  const pattern = (await readFile('/proc/sys/kernel/core_pattern', 'utf8')).trim()
  const found = /^[|@]/.test(pattern)
    ? 'go to a program of the host: environments make none'
    : 'files, inside'
  return { name: 'core dumps', ok: true, required: false, found }
}
