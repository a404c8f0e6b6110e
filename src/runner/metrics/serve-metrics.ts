// The runner's own listener for Prometheus: plain http, on loopback only, since it asks nobody for a token.
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { aborted } from '../../lib/aborted.ts'
import type { Log } from '../../lib/log.ts'
import type { RunnerMetrics } from './runner-metrics.ts'

export interface MetricsAddress {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
}

/** Until `signal` aborts. Without it a runner does its work all the same: what is in the way is logged. */
export async function serveMetrics(options: {
  readonly listen: MetricsAddress
  readonly metrics: Pick<RunnerMetrics, 'read'>
  readonly log: Log
  readonly signal: AbortSignal
}): Promise<void> {
  const { listen, metrics, log, signal } = options
  const server = createServer((request, response) => {
    const path = request.url?.split('?', 1)[0]
    if (path !== '/metrics') return void response.writeHead(404).end('there is /metrics\n')
    if (request.method !== 'GET') return void response.writeHead(405, { allow: 'GET' }).end()
    metrics.read().then(
      ({ type, text }) => response.writeHead(200, { 'content-type': type }).end(text),
      (error: unknown) => {
        log.warn({ error: String(error) }, 'metrics not read')
        response.writeHead(500).end('the log says why\n')
      },
    )
  })
  try {
    server.listen(listen.port, listen.host)
    await once(server, 'listening', { signal })
  } catch (error) {
    server.close()
    if (!signal.aborted) log.error({ ...listen, error: String(error) }, 'metrics not served')
    return
  }
  const { address, port } = server.address() as AddressInfo
  log.info({ address, port }, 'serving metrics')
  await aborted(signal)
  server.closeAllConnections()
  server.close()
}
