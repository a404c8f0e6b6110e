// What environments use and what governors do about it, as people and scrapers see it: a hog beside a shell.
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { EnvironmentUsageList } from '../../src/api/usage.ts'
import { type Family, parseExposition } from '../support/exposition.ts'
import { whyNoSandboxes } from '../support/host.ts'
import { testImage } from '../support/image.ts'
import type { Program } from '../support/program.ts'
import { freePort } from '../support/registry.ts'
import { titled } from '../support/requirements.ts'
import { openStack, type Stack, testClass } from '../support/stack.ts'

const reason = whyNoSandboxes()
const MIB = 2 ** 20

describe.skipIf(reason !== undefined)(titled('a hog beside a shell', reason), () => {
  let stack: Stack
  let hog: Program
  let port: number
  beforeAll(async () => {
    port = await freePort()
    stack = await openStack({ runner: () => ({ metrics: { listen: `127.0.0.1:${port}` } }) })
    const io = { writeBytesPerSecond: '20Mi' }
    await stack.ok('apply -f -', { stdin: testClass('slow', (await testImage()).reference, { io }) })
    await stack.ok('env create --empty --name calm')
    await stack.ok('env create --empty --class slow --name hog')
    const loop = 'while :; do :; done'
    const script = `for i in 1 2 3 4; do (${loop}) & done; wait`
    hog = stack.open(['exec', 'hog', '--', 'sh', '-c', script])
  }, 300_000)
  afterAll(async () => {
    await hog?.end()
    await stack?.close()
  })

  const top = async (...more: string[]) =>
    JSON.parse(await stack.ok(['top', '--once', '-o', 'json', ...more])) as EnvironmentUsageList
  /** Figures are some seconds old: asks until they are so. */
  const until = async (isRight: (list: EnvironmentUsageList) => boolean, ...more: string[]) => {
    const deadline = performance.now() + 40_000
    for (;;) {
      const list = await top(...more)
      if (isRight(list)) return list
      if (performance.now() > deadline) throw new Error(JSON.stringify(list, null, 2))
    }
  }
  const usageOf = (list: EnvironmentUsageList, name: string) =>
    list.items.find(each => each.metadata.name === name)?.usage

  test('is seen with what it uses, first, and with what was done about it and why', async () => {
    // However busy the machine is otherwise: more than whoever does nothing.
    const list = await until(found => {
      const [hogs, calms] = [usageOf(found, 'hog'), usageOf(found, 'calm')]
      if (hogs === undefined || calms === undefined) return false
      return hogs.cpu.cores > 0.05 + 3 * calms.cpu.cores && hogs.governor?.name === 'cpu'
    })
    expect(list.items[0]?.metadata.name).toBe('hog')
    const { governor, cpu, memory, processes } = usageOf(list, 'hog')!
    expect(governor?.act).toMatch(/^weight \d+/)
    expect(governor?.why).toMatch(/\S/)
    expect(cpu.cores).toBeLessThanOrEqual((list.runners[0]?.usage.cores ?? 0) * 1.1)
    expect(memory.bytes).toBeGreaterThan(MIB / 2)
    expect(processes).toBeGreaterThanOrEqual(5)
    expect(list.runners[0]?.usage.busyCores).toBeGreaterThan(0.5)

    const table = await stack.ok('top')
    expect(table).toMatch(/^local: [0-9.]+ of \d+ cores/m)
    expect(table).toMatch(/^hog +[█▏▎▍▌▋▊▉]+ .*\d+s ago: \S+/m)
    expect(await stack.ok('explain env/hog')).toMatch(/What it uses now\n.* cores, .*\n.*\n +governor \S+, /)
  })

  test('what it writes is counted, and held to what its class says', async () => {
    await stack.ok([
      'exec',
      'hog',
      '--',
      'sh',
      '-c',
      '(dd if=/dev/zero of=/workspaces/f bs=1M count=300 conv=fsync &) >/dev/null 2>&1',
    ])
    const list = await until(
      found => (usageOf(found, 'hog')?.io?.writtenBytesPerSecond ?? 0) > 4 * MIB,
      'hog',
    )
    // Twice, where the kernel counts what it writes back by itself apart.
    expect(usageOf(list, 'hog')?.io?.writtenBytesPerSecond).toBeLessThan(45 * MIB)
  })

  test('is in the metrics of the runner and of the server', async () => {
    const scraped = await fetch(`http://127.0.0.1:${port}/metrics`)
    const own = parseExposition(await scraped.text())
    const of = (name: string, labels: Record<string, string>) =>
      own
        .get(name)
        ?.samples.find(each => Object.entries(labels).every(([key, value]) => each.labels[key] === value))
        ?.value ?? 0
    const hogs = { namespace: 'default', name: 'hog' }
    expect(of('bothy_environment_cpu_seconds_total', hogs)).toBeGreaterThan(0.1)
    expect(of('bothy_environment_io_bytes_total', { ...hogs, direction: 'write' })).toBeGreaterThan(MIB)
    expect(of('bothy_runner_starts_total', { outcome: 'ok' })).toBe(2)
    expect(of('bothy_runner_environments', { phase: 'Running' })).toBe(2)
    const acts = own.get('bothy_governor_acts_total')?.samples ?? []
    expect(acts.map(each => each.labels['governor'])).toEqual(expect.arrayContaining(['cpu', 'io']))
    const stages = own.get('bothy_runner_start_stage_duration_seconds')?.samples
    expect(
      stages?.find(each => each.name.endsWith('_count') && each.labels['stage'] === 'start')?.value,
    ).toBe(2)

    const control = await serverMetrics()
    const phases = control.get('bothy_environments')?.samples
    expect(phases?.find(each => each.labels['phase'] === 'Running')?.value).toBe(2)
    expect(control.get('bothy_runners')?.samples.find(each => each.labels['ready'] === 'true')?.value).toBe(1)
  })

  test('tells at the end what its run used', async () => {
    await stack.ok('env stop hog')
    const { status } = await stack.get('Environment', 'hog')
    expect(status.usage?.cpuSeconds).toBeGreaterThan(0.1)
    expect(status.usage?.memoryPeak).toMatch(/^\d+/)
    const gone = await stack.bothy('top hog')
    expect(gone).toMatchObject({ code: 4, stderr: expect.stringContaining('it is Stopped') })
  })

  async function serverMetrics(): Promise<ReadonlyMap<string, Family>> {
    const { server, ca, token } = await stack.context()
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const headers = { authorization: `Bearer ${token}` }
      const options = { headers, agent: false, ...(ca === undefined ? {} : { ca }) }
      request(new URL('/metrics', server), options, resolve).once('error', reject).end()
    })
    return parseExposition(await text(answer))
  }
})
