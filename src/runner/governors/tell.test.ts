import { expect, test } from 'vitest'
import type { Act } from '../../core/governor/act.ts'
import { createManualClock } from '../../lib/manual-clock.ts'
import { createTeller } from './tell.ts'

function teller() {
  const clock = createManualClock()
  const told: string[] = []
  const tell = createTeller((id, { type, reason }) => void told.push(`${id} ${type} ${reason}`), clock)
  return { clock, told, did: (act: Act) => tell({ governor: 'test', act, why: 'because' }) }
}

const meter = (workCores?: number): Act => ({
  kind: 'cpu',
  id: 'e',
  limits: {
    ...{ weight: 100, sessionWeight: 1, workWeight: 1 },
    ...(workCores === undefined ? {} : { workCores }),
  },
})

test('every kill is told', () => {
  const { told, did } = teller()
  did({ kind: 'kill', id: 'e', pid: 7, startedTicks: 1 })
  did({ kind: 'kill', id: 'e', pid: 8, startedTicks: 1 })
  expect(told).toEqual(['e Warning ProcessKilled', 'e Warning ProcessKilled'])
})

test('a freeze and its end are told once, and an end without a beginning not at all', () => {
  const { told, did } = teller()
  const freeze = (frozen: boolean, reason: 'idle' | 'memory') =>
    did({ kind: 'freeze', id: 'e', frozen, reason })
  freeze(false, 'idle')
  freeze(true, 'idle')
  freeze(true, 'idle')
  freeze(true, 'memory')
  freeze(false, 'idle')
  freeze(false, 'idle')
  expect(told).toEqual(['e Normal Suspended', 'e Warning Suspended', 'e Normal Resumed'])
})

test('who is held back is told after a minute, once, and anew when it was let go', async () => {
  const { clock, told, did } = teller()
  did(meter(0.1))
  await clock.advance(30_000)
  did(meter(0.2))
  expect(told).toEqual([])
  await clock.advance(30_000)
  did(meter(0.2))
  did(meter(0.1))
  expect(told).toEqual(['e Normal HeldBack'])
  did(meter())
  did(meter(0.1))
  await clock.advance(60_000)
  did(meter(0.1))
  expect(told).toEqual(['e Normal HeldBack', 'e Normal HeldBack'])
})
