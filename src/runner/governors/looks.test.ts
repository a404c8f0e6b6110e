import { expect, test } from 'vitest'
import { createSimulatedHost } from '../../../test/support/simulated-host.ts'
import { createLooker } from './looks.ts'

test('what waits for its turn gets it between the looks at many', async () => {
  const host = createSimulatedHost(2)
  const ids = Array.from({ length: 20 }, (_, index) => `e-${index}`)
  for (const id of ids) host.set(id, { session: 0, work: 1 })
  let others = 0
  let isOver = false
  const waiting = () => {
    others++
    if (!isOver) setImmediate(waiting)
  }
  setImmediate(waiting)
  const looker = createLooker({
    jobs: async () => {
      for (const endMs = performance.now() + 2; performance.now() < endMs; );
      return []
    },
    processes: async () => [],
  })
  const { looked } = await looker.look({ jobs: ids, processes: [] }, await host.sense())
  isOver = true
  expect(looked.jobs.size).toBe(20)
  expect(others).toBeGreaterThanOrEqual(15)
})
