import { PHASES, type Stage } from '../../api/kinds/environment.ts'
import type { Resource } from '../../api/resource.ts'
import type { Decision } from '../../core/governor/act.ts'
import type { EnvironmentSample, HostSample, Pressure } from '../../core/governor/sample.ts'
import { createMetrics, type Labels, type Metrics } from '../../lib/metrics.ts'
import { ENVIRONMENT_METRICS, RUNNER_METRICS, type RunnerMetric } from './definitions.ts'

export interface RunnerMetrics extends Pick<Metrics<RunnerMetric>, 'read'> {
  /** A start has ended. */
  started(stages: readonly Stage[], outcome: 'ok' | 'failed'): void
  acted(decision: Decision): void
}

export interface Measured {
  readonly version: string
  readonly environments: () => readonly Resource<'Environment'>[]
  /** The latest sample, if there is one. */
  readonly sample: () => HostSample | undefined
}

export function createRunnerMetrics({ version, environments, sample }: Measured): RunnerMetrics {
  const metrics = createMetrics(RUNNER_METRICS)
  metrics.set('bothy_build_info', 1, { version })
  metrics.onRead(() => {
    const known = environments()
    const ofPhase = Map.groupBy(known, each => each.status.phase)
    for (const phase of PHASES)
      metrics.set('bothy_runner_environments', ofPhase.get(phase)?.length ?? 0, { phase })
    metrics.clear(...(Object.keys(ENVIRONMENT_METRICS) as RunnerMetric[]))
    const host = sample()
    if (host === undefined) return
    tellHost(metrics, host)
    for (const { metadata } of known) {
      const its = host.environments.get(metadata.uid)
      if (its === undefined) continue
      tellEnvironment(metrics, its, { namespace: metadata.namespace ?? '', name: metadata.name })
    }
  })
  return {
    read: () => metrics.read(),
    started(stages, outcome) {
      metrics.add('bothy_runner_starts_total', 1, { outcome })
      if (outcome !== 'ok') return
      for (const { name, started, ended } of stages) {
        if (ended === undefined) continue
        const seconds = (Date.parse(ended) - Date.parse(started)) / 1000
        metrics.observe('bothy_runner_start_stage_duration_seconds', Math.max(0, seconds), { stage: name })
      }
    },
    acted({ governor, act }) {
      metrics.add('bothy_governor_acts_total', 1, { governor, act: act.kind })
    },
  }
}

function tellHost(metrics: Metrics<RunnerMetric>, { cores, busyUs, memory, pressure }: HostSample): void {
  metrics.set('bothy_host_cores', cores)
  metrics.set('bothy_host_busy_seconds_total', busyUs / 1e6)
  metrics.set('bothy_host_memory_bytes', memory.totalBytes)
  metrics.set('bothy_host_memory_available_bytes', memory.availableBytes)
  metrics.set('bothy_host_swap_bytes', memory.swapTotalBytes)
  metrics.set('bothy_host_swap_free_bytes', memory.swapFreeBytes)
  tellPressure(metrics, 'bothy_host_pressure_seconds_total', pressure, {})
}

function tellEnvironment(metrics: Metrics<RunnerMetric>, sample: EnvironmentSample, labels: Labels): void {
  const { cpu, memory, io, network } = sample
  const set = (name: RunnerMetric, value: number | undefined, more: Labels = {}) => {
    if (value !== undefined && Number.isFinite(value)) metrics.set(name, value, { ...labels, ...more })
  }
  set('bothy_environment_cpu_seconds_total', cpu.usageUs / 1e6)
  set('bothy_environment_session_cpu_seconds_total', cpu.sessionUs / 1e6)
  set(
    'bothy_environment_cpu_throttled_seconds_total',
    cpu.throttledUs === undefined ? undefined : cpu.throttledUs / 1e6,
  )
  tellPressure(metrics, 'bothy_environment_pressure_seconds_total', sample.pressure, labels)
  set('bothy_environment_memory_bytes', memory.bytes)
  set('bothy_environment_memory_limit_bytes', memory.limitBytes)
  set('bothy_environment_swap_bytes', memory.swapBytes)
  set('bothy_environment_oom_kills_total', memory.oomKills)
  set('bothy_environment_io_bytes_total', io?.readBytes, { direction: 'read' })
  set('bothy_environment_io_bytes_total', io?.writtenBytes, { direction: 'write' })
  set('bothy_environment_network_bytes_total', network?.receivedBytes, { direction: 'receive' })
  set('bothy_environment_network_bytes_total', network?.sentBytes, { direction: 'send' })
  set('bothy_environment_processes', sample.processes)
  set('bothy_environment_processes_refused_total', sample.processesRefused)
  set('bothy_environment_frozen', sample.isFrozen ? 1 : 0)
}

function tellPressure(
  metrics: Metrics<RunnerMetric>,
  name: RunnerMetric,
  pressure: Pressure | undefined,
  labels: Labels,
): void {
  for (const [resource, stalls] of Object.entries(pressure ?? {}))
    metrics.set(name, stalls.someUs / 1e6, { ...labels, resource })
}
