import { expect, test } from 'vitest'
import { createSimulatedHost } from '../../../test/support/simulated-host.ts'
import type { Act, Decision } from '../../core/governor/act.ts'
import { Standing } from './standing.ts'

const decided = (act: Act): Decision => ({ governor: 'test', act, why: 'to see' })
const meter = (workCores: number): Decision =>
  decided({ kind: 'cpu', id: 'e', limits: { weight: 100, sessionWeight: 1, workWeight: 1, workCores } })
const freeze = (reason: 'idle' | 'memory', frozen: boolean): Decision =>
  decided({ kind: 'freeze', id: 'e', frozen, reason })
const move: Decision = decided({ kind: 'move', id: 'e', group: 7, startedTicks: 1, to: 'work' })

function machine() {
  const host = createSimulatedHost(2)
  host.set('e', { session: 0, work: 1 })
  host.pass(1_000)
  return host
}

test('only what differs is due; of two with one meaning the last', () => {
  const host = machine()
  const standing = new Standing()
  expect(standing.due([meter(1), meter(2)], host.now())).toEqual([meter(2)])
  standing.done(meter(2).act, host.now())
  expect(standing.due([meter(2)], host.now())).toEqual([])
  expect(standing.due([meter(1)], host.now())).toEqual([meter(1)])
})

test('reasons to freeze stand for themselves', () => {
  const host = machine()
  const standing = new Standing()
  standing.done(freeze('idle', true).act, host.now())
  expect(standing.due([freeze('idle', true), freeze('memory', true)], host.now())).toEqual([
    freeze('memory', true),
  ])
})

test('what happens once is due whenever it is decided', () => {
  const host = machine()
  const standing = new Standing()
  standing.done(move.act, host.now())
  expect(standing.due([move], host.now())).toEqual([move])
})

test('what failed is due, and after a minute or two everything is', () => {
  const host = machine()
  const standing = new Standing()
  standing.done(meter(1).act, host.now())
  standing.failed(meter(1).act)
  expect(standing.due([meter(1)], host.now())).toEqual([meter(1)])
  standing.done(meter(1).act, host.now())
  host.pass(59_000)
  expect(standing.due([meter(1)], host.now())).toEqual([])
  host.pass(62_000)
  expect(standing.due([meter(1)], host.now())).toEqual([meter(1)])
})

test('of who is gone, or was started again, and after a clock that went back, nothing is taken to hold', () => {
  const host = machine()
  const standing = new Standing()
  standing.done(meter(1).act, host.now())
  expect(standing.due([meter(1)], { ...host.now(), atMs: 0 })).toEqual([meter(1)])
  standing.done(meter(1).act, host.now())
  host.remove('e')
  host.set('e', { session: 0, work: 1 })
  expect(standing.due([meter(1)], host.now())).toEqual([meter(1)])
})
