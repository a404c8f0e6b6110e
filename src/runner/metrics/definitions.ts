// What a runner measures: of its work, of its host, and of each environment.
import type { MetricDefinition } from '../../lib/metrics.ts'

const ENVIRONMENT = ['namespace', 'name'] as const
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** Of environments that run; an environment that is started again counts from zero. */
export const ENVIRONMENT_METRICS = {
  bothy_environment_cpu_seconds_total: {
    type: 'counter',
    help: 'Processor time.',
    labels: ENVIRONMENT,
  },
  bothy_environment_session_cpu_seconds_total: {
    type: 'counter',
    help: 'Of that, by what people look at: shells, editors, language servers.',
    labels: ENVIRONMENT,
  },
  bothy_environment_cpu_throttled_seconds_total: {
    type: 'counter',
    help: 'Time that a ceiling held it up, on all processors together.',
    labels: ENVIRONMENT,
  },
  bothy_environment_pressure_seconds_total: {
    type: 'counter',
    help: 'Time that something in it waited for the resource (cpu, memory, io).',
    labels: [...ENVIRONMENT, 'resource'],
  },
  bothy_environment_memory_bytes: {
    type: 'gauge',
    help: 'Resident memory, page cache included.',
    labels: ENVIRONMENT,
  },
  bothy_environment_memory_limit_bytes: { type: 'gauge', help: 'Its ceiling.', labels: ENVIRONMENT },
  bothy_environment_swap_bytes: { type: 'gauge', help: 'Memory that was pushed out.', labels: ENVIRONMENT },
  bothy_environment_oom_kills_total: {
    type: 'counter',
    help: 'Processes that the kernel has shot for want of memory.',
    labels: ENVIRONMENT,
  },
  bothy_environment_io_bytes_total: {
    type: 'counter',
    help: 'Bytes to and from its disk (direction read or write).',
    labels: [...ENVIRONMENT, 'direction'],
  },
  bothy_environment_network_bytes_total: {
    type: 'counter',
    help: 'Bytes over its link (direction receive or send).',
    labels: [...ENVIRONMENT, 'direction'],
  },
  bothy_environment_processes: { type: 'gauge', help: 'Processes and threads.', labels: ENVIRONMENT },
  bothy_environment_processes_refused_total: {
    type: 'counter',
    help: 'Processes and threads that were refused, the ceiling of its class being reached.',
    labels: ENVIRONMENT,
  },
  bothy_environment_frozen: { type: 'gauge', help: '1 while it is held up as a whole.', labels: ENVIRONMENT },
} as const satisfies Record<string, MetricDefinition>

export const RUNNER_METRICS = {
  bothy_build_info: { type: 'gauge', help: 'Always 1; the label is the version.', labels: ['version'] },
  bothy_runner_environments: {
    type: 'gauge',
    help: 'Environments that are bound to this runner, by phase.',
    labels: ['phase'],
  },
  bothy_runner_starts_total: {
    type: 'counter',
    help: 'Attempts to start an environment, by how they ended (ok, failed).',
    labels: ['outcome'],
  },
  bothy_runner_start_stage_duration_seconds: {
    type: 'histogram',
    help: 'Stages of starts that succeeded; see status.stages of an environment. Stages may overlap.',
    labels: ['stage'],
    buckets: SECONDS,
  },
  bothy_governor_acts_total: {
    type: 'counter',
    help: 'What governors have done, by governor and kind of act.',
    labels: ['governor', 'act'],
  },
  bothy_host_cores: { type: 'gauge', help: 'Processors of the host.' },
  bothy_host_busy_seconds_total: { type: 'counter', help: 'Time that they were not idle, all together.' },
  bothy_host_memory_bytes: { type: 'gauge', help: 'Memory of the host.' },
  bothy_host_memory_available_bytes: {
    type: 'gauge',
    help: 'Of that, what could be given away without swapping.',
  },
  bothy_host_swap_bytes: { type: 'gauge', help: 'Swap of the host.' },
  bothy_host_swap_free_bytes: { type: 'gauge', help: 'Of that, what is free.' },
  bothy_host_pressure_seconds_total: {
    type: 'counter',
    help: 'Time that something on the host waited for the resource (cpu, memory, io).',
    labels: ['resource'],
  },
  ...ENVIRONMENT_METRICS,
} as const satisfies Record<string, MetricDefinition>

export type RunnerMetric = keyof typeof RUNNER_METRICS
