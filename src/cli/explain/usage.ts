import { GROUP, type Resource, VERSION } from '../../api/resource.ts'
import type { EnvironmentUsageObject } from '../../api/usage.ts'
import type { Millis } from '../../lib/clock.ts'
import { isFault } from '../../lib/fault.ts'
import type { Session } from '../deps.ts'
import { formatAge, formatBytes } from '../output/duration.ts'
import { percent } from '../top/figures.ts'

/** What an environment uses now; undefined of other kinds, and when nothing is known of it. */
export async function findUsage(
  session: Session,
  { kind, metadata }: Resource,
): Promise<EnvironmentUsageObject | undefined> {
  if (kind !== 'Environment') return undefined
  const namespace = encodeURIComponent(metadata.namespace ?? '')
  const path = `/apis/${GROUP}/${VERSION}/namespaces/${namespace}/environments/${metadata.name}/usage`
  try {
    return await session.request<EnvironmentUsageObject>('GET', path)
  } catch (error) {
    // It does not run, or a server of an older version does not measure.
    if (isFault(error) && error.reason === 'not_found') return undefined
    throw error
  }
}

/** In sentences. */
export function describeUsage({ usage }: EnvironmentUsageObject, now: Millis): string[] {
  const { cpu, memory, governor, isFrozen } = usage
  const held =
    (cpu.throttled ?? 0) > 0.01 ? `; a ceiling holds it up ${percent(cpu.throttled)} of the time` : ''
  const swapped = (memory.swapBytes ?? 0) > 0 ? `, ${formatBytes(memory.swapBytes ?? 0)} swapped` : ''
  const ceiling = memory.limitBytes === undefined ? '' : ` of ${formatBytes(memory.limitBytes)}`
  const lines = [
    `${cpu.cores.toFixed(2)} cores, ${cpu.sessionCores.toFixed(2)} of them by its sessions${held}`,
    `${formatBytes(memory.bytes)}${ceiling} memory${swapped}, ${usage.processes} processes`,
  ]
  if (isFrozen) lines.push('frozen: the first byte to it lets it go on')
  if (usage.processesRefused !== undefined)
    lines.push(`${usage.processesRefused} processes refused meanwhile: its class allows no more`)
  if (governor !== undefined) {
    const { name, act, why, at } = governor
    lines.push(`governor ${name}, ${formatAge(Math.max(0, now - Date.parse(at)))} ago: ${act} (${why})`)
  }
  return lines
}
