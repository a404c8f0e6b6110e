// GET /metrics: for any user's token, a viewer's best of all. It tells numbers only, of all organizations; runners have no
// business with it.
import type { FastifyInstance } from 'fastify'
import { findCondition } from '../../api/conditions.ts'
import { PHASES } from '../../api/kinds/environment.ts'
import type { Counts } from '../../core/counts.ts'
import type { Store } from '../../core/store.ts'
import { Fault } from '../../lib/fault.ts'
import type { Metrics } from '../../lib/metrics.ts'
import { serve } from '../faces/kube/routes.ts'
import { principalOf } from '../http.ts'
import type { ServerMetric } from './definitions.ts'

export interface MetricsDeps {
  readonly metrics: Metrics<ServerMetric>
  readonly store: Store
  readonly counts: Counts
  readonly version: string
}

export function registerMetrics(app: FastifyInstance, deps: MetricsDeps): void {
  const { metrics, version } = deps
  metrics.set('bothy_build_info', 1, { version })
  metrics.onRead(() => look(deps))
  app.addHook('onResponse', (request, reply, done) => {
    // Watches end when somebody leaves: how long they last says nothing.
    if (!isWatch(request.url)) {
      const labels = {
        method: request.method,
        // Of what has no route, anybody could make any number of names up.
        route: request.routeOptions.url ?? 'none',
        status: String(reply.statusCode),
      }
      metrics.observe('bothy_api_request_duration_seconds', reply.elapsedTime / 1000, labels)
    }
    done()
  })
  serve(app, '/metrics', {
    GET: async (request, reply) => {
      if (principalOf(request).kind !== 'user')
        throw new Fault('forbidden', 'users-only', 'GET /metrics: for users only')
      const { type, text } = await metrics.read()
      return reply.header('content-type', type).send(text)
    },
  })
}

const isWatch = (url: string): boolean => /[?&]watch=(1|true)\b/.test(url)

async function look({ metrics, store, counts }: MetricsDeps): Promise<void> {
  const [phases, runners] = await Promise.all([
    counts.count('Environment', ['status', 'phase']),
    store.list('Runner'),
  ])
  // A phase that nobody is in is zero, not unknown.
  for (const phase of PHASES) metrics.set('bothy_environments', phases.get(phase) ?? 0, { phase })
  const ready = runners.items.filter(
    ({ status }) => findCondition(status.conditions, 'Ready')?.status === 'True',
  ).length
  metrics.set('bothy_runners', ready, { ready: 'true' })
  metrics.set('bothy_runners', runners.items.length - ready, { ready: 'false' })
  metrics.set('bothy_store_revision', Number(runners.at))
}
