// A host and its environments as the governor of memory is told of them, for tests of what it decides.
import type { EnvironmentTerms, Sense } from '../../src/core/governor/governor.ts'
import type { EnvironmentSample, HostSample, ProcessSample } from '../../src/core/governor/sample.ts'

export const MIB = 2 ** 20
export const GIB = 2 ** 30
const ABILITIES = {
  cpuWeights: true,
  cpuCeilings: true,
  pressure: true,
  freeze: true,
  reclaim: true,
  ioLimits: true,
  ioWeights: false,
  swap: 'zram',
  holdKiller: true,
} as const

type Memory = Partial<EnvironmentSample['memory']>
export interface World {
  atMs?: number
  available?: number
  total?: number
  environments: Record<
    string,
    { memory?: Memory; cpuUs?: number; isFrozen?: boolean; terms?: Partial<EnvironmentTerms> }
  >
  processes?: ProcessSample[]
  holdKiller?: boolean
}

export function senseOf({ atMs = 0, available = 20 * GIB, total = 24 * GIB, ...world }: World): Sense {
  const environments = new Map<string, EnvironmentSample>()
  const terms = new Map<string, EnvironmentTerms>()
  for (const [id, each] of Object.entries(world.environments)) {
    const limitBytes = each.terms?.memoryBytes ?? GIB
    environments.set(id, {
      id,
      cpu: { usageUs: each.cpuUs ?? 0, sessionUs: 0 },
      memory: { bytes: 100 * MIB, limitBytes, oomKills: 0, ...each.memory },
      processes: 3,
      isFrozen: each.isFrozen ?? false,
    })
    terms.set(id, {
      ...{ id, name: id, cpuWeight: 100, memoryBytes: limitBytes, guaranteedBytes: GIB / 4, connections: 0 },
      ...each.terms,
    })
  }
  const memory = { totalBytes: total, availableBytes: available, swapTotalBytes: 0, swapFreeBytes: 0 }
  const host: HostSample = { atMs, cores: 2, busyUs: 0, memory, environments }
  return {
    host,
    jobs: [],
    processes: world.processes ?? [],
    looked: { jobs: new Set(), processes: new Set(world.processes?.map(each => each.environment)) },
    terms,
    abilities: { ...ABILITIES, holdKiller: world.holdKiller ?? true },
  }
}

export const processOf = (
  environment: string,
  name: string,
  bytes: number,
  group: 'session' | 'work' = 'work',
  pid = 1000 + name.length,
): ProcessSample => ({
  ...{ environment, pid, startedTicks: 7, name, bytes, oomScoreAdjust: 0 },
  in: group,
})
