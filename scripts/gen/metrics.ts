// The metrics of both processes, from the definitions that they are made of.
import type { MetricDefinition } from '../../src/lib/metrics.ts'
import { RUNNER_METRICS } from '../../src/runner/metrics/definitions.ts'
import { SERVER_METRICS } from '../../src/server/metrics/definitions.ts'
import { table } from './markdown.ts'

export function metricsPage(): string {
  return [
    '# Metrics',
    'How to have them collected: [Metrics](../operate/metrics.md). Besides these, both processes tell what Node knows of ' +
      'itself (`process_*`, `nodejs_*`).',
    '## The server, at `/metrics` of its address',
    rowsOf(SERVER_METRICS),
    '## A runner, at `/metrics` of the address in `runner.yaml`',
    rowsOf(RUNNER_METRICS),
  ].join('\n\n')
}

function rowsOf(definitions: Readonly<Record<string, MetricDefinition>>): string {
  return table(
    ['metric', 'type', 'labels', 'meaning'],
    Object.entries(definitions).map(([name, { type, labels = [], help }]) => [
      `\`${name}\``,
      type,
      labels.map(each => `\`${each}\``).join(', '),
      help,
    ]),
  )
}
