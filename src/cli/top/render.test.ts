import { expect, test } from 'vitest'
import { environmentUsage, usageReport } from '../../../test/support/usage.ts'
import type { EnvironmentUsage, EnvironmentUsageObject, RunnerUsageObject } from '../../api/usage.ts'
import { PLAIN } from '../output/style.ts'
import { bar, compact, percent } from './figures.ts'
import { renderUsage } from './render.ts'
import { sortUsage } from './sort.ts'

const NOW = Date.UTC(2030, 0, 1)
const timestamp = new Date(NOW).toISOString()

const item = (name: string, usage: Partial<EnvironmentUsage> = {}): EnvironmentUsageObject => ({
  apiVersion: 'bothy.dev/v1alpha1',
  kind: 'EnvironmentUsage',
  metadata: { name, namespace: 'default', uid: name },
  runner: 'here',
  timestamp,
  windowMs: 2000,
  usage: environmentUsage(usage),
})

const host = (name = 'here', ageMs = 0): RunnerUsageObject => ({
  metadata: { name, namespace: 'default', uid: name },
  timestamp: new Date(NOW - ageMs).toISOString(),
  windowMs: 2000,
  usage: usageReport().host,
})

const plain = { now: NOW, style: PLAIN, wide: false, withNamespace: false }

test.each([
  [0, '0'],
  [999, '999'],
  [1000, '1.0K'],
  [1536, '1.5K'],
  [10_200, '10K'],
  [2 ** 20, '1.0M'],
  [340 * 2 ** 20, '340M'],
  [1000 * 2 ** 20, '1.0G'],
  [12 * 2 ** 30, '12G'],
  [3 * 2 ** 50, '3.0P'],
  [-5, '0'],
] as const)('%d bytes are %s', (bytes, text) => {
  expect(compact(bytes)).toBe(text)
})

test('a bar is as wide as it is told, and what uses anything shows something', () => {
  expect([0, 0.0001, 0.25, 0.5, 1, 7].map(share => bar(share, 4))).toEqual([
    '    ',
    '▏   ',
    '█   ',
    '██  ',
    '████',
    '████',
  ])
  expect([undefined, 0, 0.124, 1].map(percent)).toEqual(['', '0%', '12%', '100%'])
})

const governor = {
  name: 'cpu',
  act: 'weight 100, work at most 0.67 cores',
  why: 'uses more than its share',
  at: new Date(NOW - 3_000).toISOString(),
}

test('says who uses what, and who did what about it', () => {
  const items = [
    item('hog', { cpu: { cores: 1.42, sessionCores: 0.1, throttled: 0.12, pressure: 0.6 }, governor }),
    item('still', { cpu: { cores: 0, sessionCores: 0 }, isFrozen: true, processesRefused: 4 }),
  ]
  expect(renderUsage(items, [host('here', 7_000)], plain)).toBe(
    [
      'here: 1.50 of 2 cores ███████▌   memory 4.0G of 8.0G   swap 1.0G of 2.0G   pressure: cpu 20%   7s ago',
      '',
      'NAME    CPU               SESSION   THROTTLED   PRESSURE   MEMORY         IO R/W   NETWORK IN/OUT   GOVERNOR',
      'hog     ███████▏   1.42   0.10      12%         60%        300M of 1.0G   0 4.0K   100 200          cpu 3s ago: weight 100, work at most 0.67 cores (uses more than its share)',
      'still              0.00   0.00                             300M of 1.0G   0 4.0K   100 200          frozen; 4 processes refused',
      '',
    ].join('\n'),
  )
})

test('no line is wider than the terminal, and what matters most stays', () => {
  const items = [item('a-rather-long-name', { governor }), item('b')]
  for (const columns of [200, 132, 100, 80, 60]) {
    const text = renderUsage(items, [host()], { ...plain, columns, wide: true, withNamespace: true })
    const widest = Math.max(...text.split('\n').map(line => [...line].length))
    expect(widest, `${columns}:\n${text}`).toBeLessThanOrEqual(columns)
    expect(text).toMatch(/NAME .*CPU/)
  }
  expect(renderUsage(items, [host()], { ...plain, columns: 132 })).toMatch(/cpu 3s ago: .*…$/m)
  expect(renderUsage(items, [], { ...plain, columns: 60 })).not.toContain('NETWORK')
})

test('what an environment says cannot steer the terminal', () => {
  const items = [item('a', { governor: { ...governor, why: 'a \u001b[2J\nb' } })]
  expect(renderUsage(items, [], plain)).toContain('(a \\x1b[2J\\nb)')
})

test('many hosts are one line', () => {
  const hosts = Array.from({ length: 200 }, (_, n) => host(`r${n}`))
  expect(renderUsage([], hosts, plain).split('\n')[0]).toBe(
    '200 runners: 300.0 of 400 cores   memory 800G of 1.6T',
  )
})

test('sorts by what is asked for, names where that is equal', () => {
  const items = [
    item('c', { cpu: { cores: 0.1, sessionCores: 0 }, memory: { bytes: 9, limitBytes: 9, oomKills: 0 } }),
    item('b', {
      cpu: { cores: 2, sessionCores: 0 },
      network: { receivedBytesPerSecond: 5, sentBytesPerSecond: 900 },
    }),
    item('a', {
      cpu: { cores: 0.1, sessionCores: 0 },
      io: { readBytesPerSecond: 9e6, writtenBytesPerSecond: 0 },
    }),
  ]
  const order = (by: Parameters<typeof sortUsage>[1]) => sortUsage(items, by).map(each => each.metadata.name)
  expect(order('cpu')).toEqual(['b', 'a', 'c'])
  expect(order('memory')).toEqual(['a', 'b', 'c'])
  expect(order('io')).toEqual(['a', 'b', 'c'])
  expect(order('network')).toEqual(['b', 'a', 'c'])
  expect(order('name')).toEqual(['a', 'b', 'c'])
})
