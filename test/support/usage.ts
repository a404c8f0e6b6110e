// Figures as runners tell them.
import type { EnvironmentUsage, UsageReport } from '../../src/api/usage.ts'

const MIB = 2 ** 20

export function environmentUsage(more: Partial<EnvironmentUsage> = {}): EnvironmentUsage {
  return {
    cpu: { cores: 0.5, sessionCores: 0.1, throttled: 0 },
    memory: { bytes: 300 * MIB, limitBytes: 1024 * MIB, oomKills: 0 },
    io: { readBytesPerSecond: 0, writtenBytesPerSecond: 4096 },
    network: { receivedBytesPerSecond: 100, sentBytesPerSecond: 200 },
    processes: 12,
    isFrozen: false,
    ...more,
  }
}

/** Of a host with these environments, by uid. */
export function usageReport(
  environments: Readonly<Record<string, Partial<EnvironmentUsage>>> = {},
): UsageReport {
  return {
    windowMs: 2_000,
    host: {
      cores: 2,
      busyCores: 1.5,
      memory: {
        totalBytes: 8192 * MIB,
        availableBytes: 4096 * MIB,
        swapTotalBytes: 2048 * MIB,
        swapFreeBytes: 1024 * MIB,
      },
      pressure: { cpu: 0.2 },
    },
    environments: Object.entries(environments).map(([uid, usage]) => ({
      uid,
      usage: environmentUsage(usage),
    })),
  }
}
