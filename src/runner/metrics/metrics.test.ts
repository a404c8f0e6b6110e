import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { parseExposition } from '../../../test/support/exposition.ts'
import { environment as kind } from '../../api/kinds/environment.ts'
import type { Resource } from '../../api/resource.ts'
import type { HostSample } from '../../core/governor/sample.ts'
import { createLog, silentLog } from '../../lib/log.ts'
import { RUNNER_METRICS } from './definitions.ts'
import { createRunnerMetrics } from './runner-metrics.ts'
import { serveMetrics } from './serve-metrics.ts'

const otter = {
  kind: 'Environment',
  metadata: { name: 'otter', namespace: 'team', uid: 'u1' },
  status: { ...kind.emptyStatus, phase: 'Running' },
} as unknown as Resource<'Environment'>

const sampleOf = (usageUs: number): HostSample => ({
  atMs: 1,
  cores: 2,
  busyUs: 3e6,
  memory: { totalBytes: 8, availableBytes: 4, swapTotalBytes: 2, swapFreeBytes: 1 },
  pressure: { cpu: { someUs: 5e5, fullUs: 0 } },
  environments: new Map([
    [
      'u1',
      {
        id: 'u1',
        cpu: { usageUs, sessionUs: 1e6 },
        memory: { bytes: 100, limitBytes: Infinity, oomKills: 1 },
        io: { readBytes: 10, writtenBytes: 20 },
        pressure: { io: { someUs: 250_000, fullUs: 0 } },
        processes: 7,
        isFrozen: true,
      },
    ],
    [
      'unknown',
      {
        id: 'unknown',
        cpu: { usageUs, sessionUs: 0 },
        memory: { bytes: 1, limitBytes: 1, oomKills: 0 },
        processes: 1,
        isFrozen: false,
      },
    ],
  ]),
})

test('tell of starts, acts, the host and each environment that is known', async () => {
  let sample: HostSample | undefined
  const metrics = createRunnerMetrics({ version: '1.2.3', environments: () => [otter], sample: () => sample })
  const started = '2030-01-01T00:00:00.000000Z'
  metrics.started(
    [
      { name: 'disk', started, ended: '2030-01-01T00:00:00.020000Z' },
      { name: 'start', started },
    ],
    'ok',
  )
  metrics.started([{ name: 'image', started, ended: started }], 'failed')
  metrics.acted({
    governor: 'suspend',
    act: { kind: 'freeze', id: 'u1', frozen: true, reason: 'idle' },
    why: 'x',
  })
  const read = async () => parseExposition((await metrics.read()).text)
  const first = await read()
  for (const [name, { type, help }] of Object.entries(RUNNER_METRICS))
    expect(first.get(name), name).toMatchObject({ type, help })
  expect(first.get('bothy_environment_cpu_seconds_total')?.samples).toEqual([])

  sample = sampleOf(90e6)
  await read()
  // What is counted by the kernel is told as it is, also when it begins anew.
  sample = sampleOf(2.5e6)
  const families = await read()
  const said = (name: string) =>
    families.get(name)?.samples.map(({ labels, value }) => [...Object.values(labels), value])
  expect(said('bothy_environment_cpu_seconds_total')).toEqual([['team', 'otter', 2.5]])
  expect(said('bothy_environment_io_bytes_total')).toEqual([
    ['team', 'otter', 'read', 10],
    ['team', 'otter', 'write', 20],
  ])
  expect(said('bothy_environment_memory_limit_bytes')).toEqual([])
  expect(said('bothy_environment_frozen')).toEqual([['team', 'otter', 1]])
  expect(said('bothy_environment_pressure_seconds_total')).toEqual([['team', 'otter', 'io', 0.25]])
  expect(said('bothy_host_busy_seconds_total')).toEqual([[3]])
  expect(said('bothy_host_pressure_seconds_total')).toEqual([['cpu', 0.5]])
  expect(said('bothy_runner_starts_total')).toEqual([
    ['ok', 1],
    ['failed', 1],
  ])
  expect(said('bothy_governor_acts_total')).toEqual([['suspend', 'freeze', 1]])
  expect(said('bothy_runner_environments')).toContainEqual(['Running', 1])
  const stages = families.get('bothy_runner_start_stage_duration_seconds')?.samples
  expect(stages?.filter(each => each.name.endsWith('_count')).map(each => each.labels)).toEqual([
    { stage: 'disk' },
  ])
  expect(stages?.find(each => each.name.endsWith('_sum'))?.value).toBeCloseTo(0.02, 6)
})

test('are served on loopback, until the runner ends', async () => {
  const free = createServer().listen(0, '127.0.0.1')
  await once(free, 'listening')
  const { port } = free.address() as AddressInfo
  free.close()
  await once(free, 'close')
  const stop = new AbortController()
  const metrics = createRunnerMetrics({ version: '1', environments: () => [], sample: () => undefined })
  const listen = { host: '127.0.0.1', port }
  const serving = serveMetrics({ listen, metrics, log: silentLog, signal: stop.signal })
  const get = (path: string, method = 'GET') => fetch(`http://127.0.0.1:${port}${path}`, { method })
  await expect.poll(async () => (await get('/metrics').catch(() => undefined))?.status).toBe(200)
  expect(parseExposition(await (await get('/metrics')).text()).has('bothy_host_cores')).toBe(true)
  expect((await get('/')).status).toBe(404)
  expect((await get('/metrics', 'POST')).status).toBe(405)
  // Somebody else has the port: the runner goes on without.
  await serveMetrics({ listen, metrics, log: createLog({ level: 'silent' }), signal: stop.signal })
  stop.abort()
  await serving
  await expect(get('/metrics')).rejects.toThrow('fetch failed')
})
