// What was used between two samples of a host: pure.
import type { EnvironmentUsage, HostUsage } from '../../api/usage.ts'
import type { EnvironmentSample, HostSample, Stalls } from '../../core/governor/sample.ts'
import type { Millis } from '../../lib/clock.ts'

type Measured = Omit<EnvironmentUsage, 'governor'>

/** Over no time at all nothing is used per second. */
const perSecond = (now: number, before: number, ms: Millis): number =>
  ms <= 0 ? 0 : round((Math.max(0, now - before) * 1000) / ms)

/** Share of `ms` that `us` microseconds are; several processors can wait at once, which is no more than all the time. */
const shareOf = (us: number, ms: Millis): number =>
  ms <= 0 ? 0 : Math.min(1, round(Math.max(0, us) / 1000 / ms))

const coresOf = (us: number, ms: Millis): number => (ms <= 0 ? 0 : round(Math.max(0, us) / 1000 / ms))

/** What travels often needs no digits that nobody reads. */
const round = (value: number): number => Math.round(value * 1000) / 1000

export function measureHost(now: HostSample, before: HostSample): HostUsage {
  const ms = now.atMs - before.atMs
  const { cpu, memory, io } = now.pressure ?? {}
  return {
    cores: now.cores,
    busyCores: coresOf(now.busyUs - before.busyUs, ms),
    memory: { ...now.memory },
    pressure: {
      ...stalled('cpu', cpu, before.pressure?.cpu, ms),
      ...stalled('memory', memory, before.pressure?.memory, ms),
      ...stalled('io', io, before.pressure?.io, ms),
    },
  }
}

/** `ms`: between the two. A sandbox that was started anew in between has counted less than it had: it begins at nothing. */
export function measureEnvironment(now: EnvironmentSample, earlier: EnvironmentSample, ms: Millis): Measured {
  const before = now.cpu.usageUs < earlier.cpu.usageUs ? now : earlier
  const { cpu, memory, io, network } = now
  const throttledUs = cpu.throttledUs
  const refused = (now.processesRefused ?? 0) - (before.processesRefused ?? 0)
  return {
    cpu: {
      cores: coresOf(cpu.usageUs - before.cpu.usageUs, ms),
      sessionCores: coresOf(cpu.sessionUs - before.cpu.sessionUs, ms),
      ...(throttledUs === undefined
        ? {}
        : { throttled: shareOf(throttledUs - (before.cpu.throttledUs ?? throttledUs), ms) }),
      ...stalled('pressure', now.pressure?.cpu, before.pressure?.cpu, ms),
    },
    memory: {
      bytes: memory.bytes,
      ...(Number.isFinite(memory.limitBytes) ? { limitBytes: memory.limitBytes } : {}),
      ...(memory.swapBytes === undefined ? {} : { swapBytes: memory.swapBytes }),
      ...stalled('pressure', now.pressure?.memory, before.pressure?.memory, ms),
      oomKills: memory.oomKills,
    },
    ...(io === undefined
      ? {}
      : {
          io: {
            readBytesPerSecond: perSecond(io.readBytes, before.io?.readBytes ?? io.readBytes, ms),
            writtenBytesPerSecond: perSecond(io.writtenBytes, before.io?.writtenBytes ?? io.writtenBytes, ms),
            ...stalled('pressure', now.pressure?.io, before.pressure?.io, ms),
          },
        }),
    ...(network === undefined
      ? {}
      : {
          network: {
            receivedBytesPerSecond: perSecond(
              network.receivedBytes,
              before.network?.receivedBytes ?? network.receivedBytes,
              ms,
            ),
            sentBytesPerSecond: perSecond(
              network.sentBytes,
              before.network?.sentBytes ?? network.sentBytes,
              ms,
            ),
          },
        }),
    processes: now.processes,
    ...(refused > 0 ? { processesRefused: refused } : {}),
    isFrozen: now.isFrozen,
  }
}

function stalled<Name extends string>(
  name: Name,
  now: Stalls | undefined,
  before: Stalls | undefined,
  ms: Millis,
): Partial<Record<Name, number>> {
  if (now === undefined) return {}
  // The compiler does not see that the computed name is the wanted one.
  return { [name]: shareOf(now.someUs - (before?.someUs ?? now.someUs), ms) } as Partial<Record<Name, number>>
}
