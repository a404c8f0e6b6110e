// What the control plane measures.
import type { MetricDefinition } from '../../lib/metrics.ts'

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

export const SERVER_METRICS = {
  bothy_build_info: { type: 'gauge', help: 'Always 1; the label is the version.', labels: ['version'] },
  bothy_environments: { type: 'gauge', help: 'Environments, by phase.', labels: ['phase'] },
  bothy_runners: {
    type: 'gauge',
    help: 'Runners, by whether they can take environments (condition Ready).',
    labels: ['ready'],
  },
  bothy_api_request_duration_seconds: {
    type: 'histogram',
    help: 'Requests that were answered, watches aside, by route.',
    labels: ['method', 'route', 'status'],
    buckets: SECONDS,
  },
  bothy_watches: { type: 'gauge', help: 'Watches that are open.', labels: ['resource'] },
  bothy_store_operation_duration_seconds: {
    type: 'histogram',
    help: 'Operations on the store that succeeded or failed, database included.',
    labels: ['operation', 'outcome'],
    buckets: SECONDS,
  },
  bothy_store_revision: { type: 'gauge', help: 'Revision of the latest change: its rate is that of writes.' },
} as const satisfies Record<string, MetricDefinition>

export type ServerMetric = keyof typeof SERVER_METRICS
