import { expect, test } from 'vitest'
import { Turns } from './turns.ts'

test('a long loop lets others have their turn, a short one is not held up', async () => {
  let others = 0
  const counting = setInterval(() => others++, 1)
  try {
    const turns = new Turns(2)
    const endMs = performance.now() + 60
    while (performance.now() < endMs) await turns.next()
    expect(others).toBeGreaterThan(3)

    const before = others
    const patient = new Turns(60_000)
    for (let step = 0; step < 1_000; step++) await patient.next()
    expect(others).toBe(before)
  } finally {
    clearInterval(counting)
  }
})
