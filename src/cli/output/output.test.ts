import { expect, test } from 'vitest'
import type { Resource } from '../../api/resource.ts'
import { formatResources, readPath } from './columns.ts'
import { formatAge, formatBytes, formatDuration } from './duration.ts'
import { PLAIN, styleFor } from './style.ts'
import { formatTable } from './table.ts'
import { escapeControls, escapeJson, oneLine } from './text.ts'

const S = 1000
const M = 60 * S
const H = 60 * M
const D = 24 * H

test.each([
  [0, '0s'],
  [5 * S, '5s'],
  [119 * S, '119s'],
  [2 * M, '2m'],
  [3 * M + 20 * S, '3m20s'],
  [90 * M, '90m'],
  [3 * H, '3h'],
  [4 * H + 12 * M, '4h12m'],
  [30 * H, '30h'],
  [4 * D, '4d'],
  [4 * D + 5 * H, '4d5h'],
  [400 * D, '400d'],
  [3 * 365 * D, '3y'],
  [Number.NaN, '<unknown>'],
])('an age of %d ms reads as kubectl writes it: %s', (ms, text) => {
  expect(formatAge(ms)).toBe(text)
})

test('durations and sizes are as fine as they are small', () => {
  expect([3, 1240, 12_340, 125_000].map(formatDuration)).toEqual(['3 ms', '1.24 s', '12.3 s', '2 min 5 s'])
  expect([12, 2048, 13_000_000].map(formatBytes)).toEqual(['12 B', '2.0 KiB', '12.4 MiB'])
})

test('nothing that a terminal would obey gets through', () => {
  const hostile = 'a\u001b[2J\u009b31m\u0007\r\u202eb\u007f\tc\nd'
  expect(escapeControls(hostile)).toBe('a\\x1b[2J\\x9b31m\\x07\\x0d\\u202eb\\x7f\tc\nd')
  expect(oneLine('a\nb\tc')).toBe('a\\nb c')
})

test('escaped JSON is the same JSON', () => {
  const value = { text: 'x\u001b[31m\u009b\u202e', 'k\u007f': 1 }
  const escaped = escapeJson(JSON.stringify(value))
  expect(escaped).toMatch(/^[\x20-\x7e]*$/)
  expect(JSON.parse(escaped)).toEqual(value)
})

test('columns are as wide as their widest cell, colours aside', () => {
  const red = (text: string) => `<${text}>`
  expect(
    formatTable(
      ['name', 'phase', 'age'],
      [
        ['a', { text: 'Running', paint: red }, '5s'],
        ['long-name', 'x', '1d'],
      ],
    ),
  ).toBe(
    ['NAME        PHASE     AGE', 'a           <Running>   5s', 'long-name   x         1d', ''].join('\n'),
  )
})

test('a cell stays on its line, whatever is in it', () => {
  expect(formatTable(['name'], [['evil\nrow\u001b[A']])).toBe('NAME\nevil\\nrow\\x1b[A\n')
})

const runner: Resource<'Runner'> = {
  apiVersion: 'bothy.dev/v1alpha1',
  kind: 'Runner',
  metadata: {
    name: 'here',
    namespace: 'default',
    uid: 'u',
    resourceVersion: '1',
    generation: 1,
    creationTimestamp: '2026-01-01T00:00:00Z',
  },
  spec: { cordoned: false },
  status: {
    driver: 'linux',
    conditions: [
      { type: 'Ready', status: 'True', reason: 'R', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' },
    ],
  },
}

test('both forms of a column path find what they name, own fields only', () => {
  expect(readPath(runner, '.status.conditions[?(@.type=="Ready")].status')).toBe('True')
  expect(readPath(runner, '.status.driver')).toBe('linux')
  expect(readPath(runner, '.status.nothing.at.all')).toBeUndefined()
  expect(readPath(runner, '.constructor.name')).toBeUndefined()
})

test('a table of objects shows the columns of their kind', () => {
  const options = { now: Date.parse('2026-01-01T00:03:00Z'), wide: false, withNamespace: false, style: PLAIN }
  expect(
    formatResources('Runner', [runner], options)
      .split('\n')
      .map(line => line.split(/ {3,}/)),
  ).toEqual([['NAME', 'READY', 'DRIVER', 'VERSION', 'AGE'], ['here', 'True', 'linux', '<none>', '3m'], ['']])
  const wide = formatResources('Runner', [runner], { ...options, wide: true, withNamespace: true })
  expect(wide.split('\n')[0]).toMatch(/^NAMESPACE {3,}NAME .* GATEWAY .* IMAGES$/)
})

test('colours are for terminals, and for nobody who says NO_COLOR', () => {
  const painted = (isTTY: boolean, env: Record<string, string>) => styleFor({ isTTY }, env).red('x')
  expect(painted(true, {})).toBe('\u001b[31mx\u001b[39m')
  expect([painted(false, {}), painted(true, { NO_COLOR: '1' }), painted(true, { TERM: 'dumb' })]).toEqual([
    'x',
    'x',
    'x',
  ])
  expect(painted(true, { NO_COLOR: '' })).not.toBe('x')
})
